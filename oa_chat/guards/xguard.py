"""The `xguard` family: Alibaba's YuFeng-XGuard-Reason, which names a risk first and then explains.

Asked through the file's own template, which holds the policy (template variable ``reason_first``
off). The first token of the answer is ``sec`` (safe) or one of 28 risks; after it may come
``<explanation>...</explanation>`` (README of Alibaba-AAIG/YuFeng-XGuard-Reason). A safe answer is
ended at its first token; a risk is explained, and what fits of that is the rule, except where a
person needs help. An explanation that was cut off does not take back the risk in front of it.

Levels: by the probability of all risks together and the category (`grades`). If it writes ``sec``
while they are likelier, the likeliest risk counts. It sees the newest exchange.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, by_level, read_text, two_way, with_explanation
from oa_chat.guards.exchange import as_messages
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.grades import UNSAFE_FROM
from oa_chat.guards.signs import best, folded_names, template_has
from oa_chat.guards.taxonomy import LISTS, map_category
from oa_chat.verdict import Severity, Subject

_FAMILY = "xguard"
_SAFE = "sec"
_RISKS = tuple(row.code for row in LISTS[_FAMILY])
_LEVELS = (Severity.CASUAL, *(Severity.CAUTION for _ in _RISKS))
_FORM = re.compile(
    rf"(?P<code>{_SAFE}|{'|'.join(_RISKS)})"
    r"(?:\s*<explanation>(?P<why>[^<]*)(?P<end></explanation>)?)?"
)
_GRAMMAR = (
    f'root ::= "{_SAFE}" | risk "\\n<explanation>" [^<]+ "</explanation>"\n'
    f"risk ::= {' | '.join(f'{chr(34)}{code}{chr(34)}' for code in _RISKS)}\n"
)


@dataclass(frozen=True, slots=True)
class XGuard:
    """The family."""

    name = _FAMILY
    kind: ModelKind = "causal"
    writes_rules = True

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The newest message, or the exchange that the newest reply ends."""
        return Question(
            messages=as_messages(messages),
            options={"reason_first": False},
            choices=[_SAFE, *_RISKS],
            grammar=_GRAMMAR,
            brief=[_SAFE],
            max_tokens=120,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The risk, its probability and its explanation."""
        return read_text(answer, _parse)


def _parse(answer: Output) -> Reading:
    match = _FORM.fullmatch(answer.text.strip())
    if match is None:
        raise NotAVerdict("the guard's answer is not one of XGuard's risks")
    code, why = match["code"], match["why"] or ""
    if code == _SAFE and why and match["end"] is None:
        raise NotAVerdict("the guard did not finish its answer")
    row = by_level(answer.probabilities, _LEVELS)
    chances = [] if row is None else [1 - row[Severity.CASUAL], row[Severity.CASUAL]]
    if code == _SAFE and answer.probabilities and chances[0] >= UNSAFE_FROM:
        code, why = max(zip(answer.probabilities[1:], _RISKS, strict=True))[1], ""
    categories = () if code == _SAFE else (map_category(_FAMILY, code),)
    summed = Output(answer.text, chances or None, answer.finished)
    return with_explanation(two_way(summed, code != _SAFE, categories), why if categories else "")


def identify(header: GgufHeader) -> Identified | None:
    """By its template's own variable, or by its name."""
    names = folded_names(header)
    return best(
        header,
        XGuard(),
        (template_has(header, "reason_first"), 0.9, "its chat template asks for XGuard's answers"),
        ("yufengxguard" in names or "xguardreason" in names, 0.95, "it is named XGuard-Reason"),
    )
