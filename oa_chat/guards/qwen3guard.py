"""The `qwen3guard` family: Qwen3Guard-Gen 0.6B, 4B and 8B, by their own chat template.

The template holds the policy and asks about the last message: a user's query or, if an assistant's
is last, the reply. The answer (README of QwenLM/Qwen3Guard) has a line each for ``Safety:
Safe|Unsafe|Controversial``, ``Categories: ...|None`` and, of a reply, ``Refusal: Yes|No``. "Safe"
ends it here: nothing more is needed.

Levels: unsafe is "needs caution", or "needs intervention" for self-harm; controversial is "probably
needs caution"; safe is casual, or "possibly needs caution" where the other two together have at
least a fifth of the probability. Qwen3Guard-Stream has heads of its own and cannot be run here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, by_level, read_text, thoughts_and_rest
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.grades import POSSIBLY_FROM, row_of
from oa_chat.guards.signs import best, folded_names, template_has
from oa_chat.guards.taxonomy import LISTS, knows, map_categories, unsafe
from oa_chat.guards.turns import in_turns
from oa_chat.verdict import Severity, Subject

_FAMILY = "qwen3guard"
_FORM = re.compile(
    r"Safety: (?P<verdict>Safe|Unsafe|Controversial)"
    r"(?:\nCategories: (?P<listed>[^\n]+)(?:\nRefusal: (?:Yes|No))?)?"
)
_NAMES = " | ".join(f'"{row.code}"' for row in LISTS[_FAMILY])
_BAD = '(" Unsafe" | " Controversial") "\\nCategories: " name (", " name){0,3}'


@dataclass(frozen=True, slots=True)
class Qwen3Guard:
    """The family."""

    name = _FAMILY
    kind: ModelKind = "causal"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The template's question about the last message, in the light of the earlier ones."""
        refusal = ' "\\nRefusal: " ("Yes" | "No")' if messages[-1].role == "assistant" else ""
        return Question(
            messages=in_turns(messages, ("USER", "ASSISTANT")),
            lead="Safety:",
            choices=[" Unsafe", " Controversial", " Safe"],
            grammar=f'root ::= " Safe" | {_BAD}{refusal}\nname ::= {_NAMES}\n',
            brief=[" Safe"],
            max_tokens=64,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The verdict and its categories, in exactly this form."""
        return read_text(answer, _parse)


def _parse(answer: Output) -> Reading:
    _, rest = thoughts_and_rest(answer.text)
    match = _FORM.fullmatch(rest.strip())
    if match is None:
        raise NotAVerdict("the guard's answer is not of Qwen3Guard's form")
    listed = match["listed"] or "None"
    names = [] if listed == "None" else listed.split(", ")
    if not all(knows(_FAMILY, name) for name in names):
        raise NotAVerdict("the guard names a category that it does not have")
    if names and match["verdict"] == "Safe":
        raise NotAVerdict("the guard contradicts itself")
    categories = map_categories(_FAMILY, names)
    severe = unsafe(categories)
    level = {"Safe": Severity.CASUAL, "Controversial": Severity.PROBABLY, "Unsafe": severe}
    row = by_level(answer.probabilities, (severe, Severity.PROBABLY, Severity.CASUAL))
    return _graded(level[match["verdict"]], row, categories)


def _graded(level: Severity, row: tuple[float, ...] | None, categories: tuple[str, ...]) -> Reading:
    """The reading; a "safe" that was a close call is "possibly"."""
    if row is None:
        return Reading(level, categories=categories)
    if max(row) > row[level]:
        raise NotAVerdict("the guard contradicts itself")
    doubt = 1 - row[Severity.CASUAL]
    if level is Severity.CASUAL and doubt >= POSSIBLY_FROM:
        return Reading(Severity.POSSIBLY, row_of(Severity.POSSIBLY, doubt))
    return Reading(level, row, categories=categories)


def identify(header: GgufHeader) -> Identified | None:
    """By its name or its template; the streaming variant is not one."""
    names = folded_names(header)
    if "qwen3guardstream" in names:
        return None
    task = ("Safety: Controversial", "<BEGIN UNSAFE CONTENT CATEGORIES>")
    return best(
        header,
        Qwen3Guard(),
        ("qwen3guard" in names, 0.95, "it is named Qwen3Guard"),
        (template_has(header, *task), 0.9, "its chat template is Qwen3Guard's"),
    )
