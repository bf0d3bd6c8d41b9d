"""The `open-assistant` family: T5 models that write a label and rules of thumb.

Two dialects, told apart by the control tokens in the model's own vocabulary:

- the seed (Open-Assistant PR 1972): input ``{utterance}<ctx>{history}</s>``, where the history is
  each earlier exchange as ``\\nUser: {user}\\n bot:{reply}``, joined by ``<sep>``; output
  ``<cls>{label}<ctx>{rule}<sep>{rule}</s>``, also seen as ``<cls>; __needs_caution__ <ctx> rule``.
- blade2blade 0.0.1: input ``<|prompter|>u1</s><|assistant|>a1</s><|prompter|>u2</s>``; output
  ``{label}<sep>{rule}<sep>{rule}</s>``.

Reading is strict: the answer has to be of one of these forms, with one label at its place, or it
has no severity. Both forms are read whatever the dialect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader, read_header
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.protocol import ModelKind, Output
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.segment import Segment
from oa_chat.verdict import LABELS, Severity, Subject

Dialect = Literal["seed", "blade2blade"]

_LABEL = "|".join(LABELS)
_FORM = re.compile(
    rf"\s*(?:<cls>\s*;?\s*)?(?P<label>{_LABEL})\s*(?:(?:<ctx>|<sep>)(?P<rules>.*))?", re.DOTALL
)
_CONTROL = re.compile(r"<(?:cls|ctx|pad|/s|\|prompter\||\|assistant\|)>")
_RULE_LENGTH = 200
_MIN_MASS = 0.5
"""Below this total probability of the five labels, the model is not answering the question."""


@dataclass(frozen=True, slots=True)
class OpenAssistant:
    """The family in one of its dialects."""

    dialect: Dialect
    temperature: float = 1.0
    """Calibration: a label's probability p counts as p ** (1 / temperature)."""

    name = "open-assistant"
    kind: ModelKind = "seq2seq"
    writes_rules = True

    def prompt(self, messages: Sequence[Message]) -> list[Segment]:
        """The dialect's input for the last message. Typed text is never a control token."""
        spoken = [message for message in messages if message.role != "system"]
        return _seed_prompt(spoken) if self.dialect == "seed" else _blade_prompt(spoken)

    def target(self, severity: Severity, rules: Sequence[str]) -> list[Segment]:
        """The answer that a model is trained to give; a casual message has no rule."""
        seed = self.dialect == "seed"
        segments = [Segment("<cls>", trusted=True)] if seed else []
        segments.append(Segment(severity.label))
        for number, rule in enumerate(rules if severity > Severity.CASUAL else ()):
            mark = "<ctx>" if seed and not number else "<sep>"
            segments += [Segment(mark, trusted=True), Segment(rule)]
        return [*segments, Segment("</s>", trusted=True)]

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The label and the first rule of an answer of one of the two forms."""
        if not isinstance(answer, Output):
            return Reading(None, failure="the guard gave scores instead of an answer")
        match = _FORM.fullmatch(answer.text)
        problem = _problem(answer, match)
        if match is None or problem:
            return Reading(None, raw=answer.text, failure=problem or "no answer")
        severity = Severity.from_label(match["label"])
        rule = "" if severity is Severity.CASUAL else first_rule(match["rules"] or "")
        return Reading(severity, self._normalised(answer.probabilities), rule, raw=answer.text)

    def _normalised(self, probabilities: Sequence[float] | None) -> tuple[float, ...] | None:
        if not probabilities or len(probabilities) != len(LABELS):
            return None
        weights = [probability ** (1 / self.temperature) for probability in probabilities]
        total = sum(weights)
        return tuple(weight / total for weight in weights) if total > 0 else None


def _problem(answer: Output, match: re.Match[str] | None) -> str:
    """Why an answer cannot be trusted, or an empty string."""
    if match is None:
        return "the guard's answer is not a label"
    rules = match["rules"] or ""
    if any(label in rules for label in LABELS):
        return "the guard gave two labels"
    if answer.probabilities is not None and sum(answer.probabilities) < _MIN_MASS:
        return "the guard is not sure that its answer is a label at all"
    return ""


def first_rule(rules: str) -> str:
    """The first non-empty rule of ``rule<sep>rule``, on one line, without control tokens."""
    for part in rules.split("<sep>"):
        rule = " ".join(_CONTROL.sub(" ", part).split())
        if rule:
            return rule[:_RULE_LENGTH]
    return ""


def _seed_prompt(spoken: Sequence[Message]) -> list[Segment]:
    segments = [Segment(spoken[-1].text), Segment("<ctx>", trusted=True)]
    earlier = list(spoken[:-1])
    exchanges = [earlier[start : start + 2] for start in range(0, len(earlier), 2)]
    for number, exchange in enumerate(exchanges):
        if number:
            segments.append(Segment("<sep>", trusted=True))
        for message in exchange:
            mark = "\nUser: " if message.role == "user" else "\n bot:"
            segments.append(Segment(mark + message.text))
    return [*segments, Segment("</s>", trusted=True)]


def _blade_prompt(spoken: Sequence[Message]) -> list[Segment]:
    segments: list[Segment] = []
    for message in spoken:
        mark = "<|prompter|>" if message.role == "user" else "<|assistant|>"
        segments.append(Segment(mark, trusted=True))
        segments.append(Segment(message.text))
        segments.append(Segment("</s>", trusted=True))
    return segments


def identify(header: GgufHeader) -> Identified | None:
    """A T5 whose vocabulary has the control tokens of one of the dialects."""
    if header.architecture != "t5":
        return None
    own = own_keys(header)
    named: dict[str, Dialect] = {
        "open-assistant/seed": "seed",
        "open-assistant/blade2blade": "blade2blade",
    }
    if own.prompt_format in named:
        family = OpenAssistant(named[own.prompt_format], own.temperature)
        return Identified(family, 1.0, f"its file says {own.prompt_format}")
    tokens = frozenset(read_header(header.path, tokens=True).tokens)
    marks: dict[str, Dialect] = {"<|prompter|>": "blade2blade", "<ctx>": "seed"}
    for mark, dialect in marks.items():
        if mark in tokens:
            family = OpenAssistant(dialect, own.temperature)
            return Identified(family, 0.95, f"a T5 that knows {mark}")
    return Identified(OpenAssistant("seed"), 0.3, "a T5 without the family's control tokens")
