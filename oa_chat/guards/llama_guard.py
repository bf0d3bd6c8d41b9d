"""The `llama-guard` family: Meta's Llama Guard 3 (1B, 8B, 11B) and 4, by their own chat template.

The template holds the policy, shows the whole conversation as ``User:`` and ``Agent:`` and asks
about the last message, whoever wrote it. The answer is ``safe``, or ``unsafe`` and a line of codes
``S1,S10`` (model cards of meta-llama/Llama-Guard-3-8B and Llama-Guard-4-12B: the MLCommons hazards
S1 to S14). The probability of "unsafe" as the first word gives the level: see `grades`.

Llama Guard 1 and 2 have other codes under the same names and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, read_text, two_way
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.signs import best, folded_names, template_has
from oa_chat.guards.taxonomy import map_categories
from oa_chat.guards.turns import in_turns
from oa_chat.verdict import Subject

_FAMILY = "llama-guard"
_FORM = re.compile(r"(?P<verdict>safe|unsafe)(?:\n(?P<codes>S\d{1,2}(?:, ?S\d{1,2})*))?", re.ASCII)
_GRAMMAR = 'root ::= "safe" | "unsafe\\n" code ("," code){0,4}\ncode ::= "S" ([2-9] | "1" [0-4]?)\n'


@dataclass(frozen=True, slots=True)
class LlamaGuard:
    """The family."""

    name = _FAMILY
    kind: ModelKind = "causal"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The template's question about the last message, in the light of the earlier ones."""
        return Question(
            messages=in_turns(messages, ("User", "Agent")),
            lead="\n\n",  # what the models write first, where the template does not
            choices=["unsafe", "safe"],
            grammar=_GRAMMAR,
            brief=["safe"],
            max_tokens=48,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The verdict and its codes, in exactly this form."""
        return read_text(answer, _parse)


def _parse(answer: Output) -> Reading:
    match = _FORM.fullmatch(answer.text.strip())
    harmful = match is not None and match["verdict"] == "unsafe"
    if match is None or (match["codes"] and not harmful):
        raise NotAVerdict("the guard's answer is not of Llama Guard's form")
    codes = re.findall(r"S\d+", match["codes"] or "")
    categories = map_categories(_FAMILY, codes)
    return two_way(answer, harmful, categories)


def identify(header: GgufHeader) -> Identified | None:
    """By its name or its template, unless that is an older one's."""
    names = folded_names(header)
    older = template_has(header, "S5: Specialized Advice") or template_has(header, "O1: Violence")
    if older or re.search(r"llamaguard(2|7b)", names):
        return None
    task = ("<BEGIN UNSAFE CONTENT CATEGORIES>", "First line must read", "unsafe")
    return best(
        header,
        LlamaGuard(),
        (re.search(r"llamaguard[34]", names) is not None, 0.95, "it is named Llama Guard"),
        ("llamaguard" in names, 0.8, "it is named Llama Guard"),
        (template_has(header, *task), 0.9, "its chat template is Llama Guard's"),
    )
