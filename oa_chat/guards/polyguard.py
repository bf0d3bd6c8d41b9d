"""The `polyguard` family: ToxicityPrompts' PolyGuard, WildGuard's questions in 17 languages.

The prompt is a fixed system message with the categories S1-S14, then both sides of the exchange as
one user message, in the file's chat template (model card of ToxicityPrompts/PolyGuard-Qwen). The
answer is five lines: ``Harmful request``, ``Request safety violations``, ``Response refusal``,
``Harmful response``, ``Response safety violations``. For a message the first two count, and they
alone may be written; for a reply the last two, which have to be there.

Levels: by the probability of yes and the codes (`grades`). It explains nothing and sees the newest
exchange alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, read_text, two_way
from oa_chat.guards.exchange import ANSWER, exchange
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.signs import best, folded_names
from oa_chat.guards.taxonomy import LISTS, knows, map_categories
from oa_chat.guards.wildguard import MARKS, TASK, harmful
from oa_chat.verdict import Subject

_FAMILY = "polyguard"
_SYSTEM = (
    f"{TASK}\nIn addition, identify the policies violated if the interaction is unsafe and harmful"
    " according to the safety policy with the below categories.\n\n"
    "<BEGIN UNSAFE CONTENT CATEGORIES>\n"
    + "".join(f"{row.code}: {row.name}.\n" for row in LISTS[_FAMILY])
    + "<END UNSAFE CONTENT CATEGORIES>"
)
_CODES = r"None|S\d{1,2}(?:(?:,| |, )S\d{1,2})*"
_FORM = re.compile(
    rf"Harmful request: (?P<request>yes|no)\nRequest safety violations: (?P<asked>{_CODES})"
    rf"(?:\nResponse refusal: (?P<refusal>yes|no)\nHarmful response: (?P<response>yes|no)"
    rf"\nResponse safety violations: (?P<replied>{_CODES}))?"
)
_RULES = (
    r'asked ::= " no\nRequest safety violations: None"'
    r' | " yes\nRequest safety violations: " codes' + "\n"
    r'replied ::= " no\nResponse safety violations: None"'
    r' | " yes\nResponse safety violations: " codes' + "\n"
    'codes ::= "None" | code (("," | " " | ", ") code){0,4}\n'
    'code ::= "S" ([1-9] | "1" [0-4])\n'
)
_REPLY = r'asked "\nResponse refusal:" answer "\nHarmful response:" replied'


@dataclass(frozen=True, slots=True)
class PolyGuard:
    """The family."""

    name = _FAMILY
    kind: ModelKind = "causal"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The trained prompt about the newest message, or about the newest reply."""
        said, reply = exchange(messages, (*MARKS, "<END UNSAFE CONTENT CATEGORIES>"))
        content = f"Human user:\n{said}\n\nAI assistant:\n{reply or ''}"
        return Question(
            messages=[Message("system", _SYSTEM), Message("user", content)],
            lead="Harmful request:",
            choices=[" yes", " no"],
            after="" if reply is None else "Harmful response:",
            grammar=f"root ::= {'asked' if reply is None else _REPLY}\n{ANSWER}{_RULES}",
            brief=[" no\nRequest safety violations: None"] if reply is None else [],
            max_tokens=64 if reply is None else 192,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The decisive line's yes or no with its codes, in exactly this form."""
        return read_text(answer, partial(_parse, subject))


def _parse(subject: Subject, answer: Output) -> Reading:
    match = _FORM.fullmatch(answer.text.strip())
    if match is None:
        raise NotAVerdict("the guard's answer is not of PolyGuard's form")
    about_reply = (match["refusal"] or "", match["response"] or "")
    bad = harmful(subject, match["request"], *about_reply)
    codes = re.findall(r"S\d+", match["replied" if subject == "reply" else "asked"])
    if not all(knows(_FAMILY, code) for code in codes) or (codes and not bad):
        raise NotAVerdict("the guard contradicts itself")
    return two_way(answer, bad, map_categories(_FAMILY, codes))


def identify(header: GgufHeader) -> Identified | None:
    """By its name: the template is its base model's."""
    named = "polyguard" in folded_names(header)
    return best(header, PolyGuard(), (named, 0.9, "it is named PolyGuard"))
