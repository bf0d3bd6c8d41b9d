"""What reading the answers of guards that write text has in common. Pure, and strict.

A family's own file knows its form; here are the rules that hold for all: closed thoughts are left
out and unclosed ones are no answer, probabilities have to be about the question, and a model's
explanation is one bounded line of text before anybody sees it. Nothing here knows a family.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from oa_chat.engine import cuts
from oa_chat.engine.protocol import Output
from oa_chat.guards.family import RawAnswer, Reading
from oa_chat.guards.grades import UNSAFE_FROM, grade, row_of
from oa_chat.guards.taxonomy import unsafe
from oa_chat.imitation import defuse
from oa_chat.policy import one_rule
from oa_chat.verdict import LABELS, Severity

RULE_LENGTH = 200
"""Characters of an explanation that is kept, in whole sentences if there are any so short."""
_MIN_MASS = 0.5
"""Below this total probability of the choices, the model is not answering the question."""
_THOUGHTS = re.compile(r"\s*<think>((?:(?!</?think>).)*)</think>", re.DOTALL)
_MARKS = re.compile(r"<\|[^<>|]{0,40}\|>|</?[a-z_-]{1,20}>", re.IGNORECASE)
"""Control tokens and the tags of the forms, such as ``<|im_end|>`` and ``</explanation>``."""
_LOOSE = re.compile(r"[<>|\x00-\x08\x0e-\x1f\x7f-\x9f]")


class NotAVerdict(Exception):
    """Why an answer is no verdict, in words for the user. Never leaves `read_text`."""


def read_text(answer: RawAnswer, parse: Callable[[Output], Reading]) -> Reading:
    """The reading of one written answer; whatever `parse` refuses has no severity."""
    if not isinstance(answer, Output):
        return Reading(None, failure="the guard did not give one written answer")
    try:
        if not answer.text.strip():
            raise NotAVerdict("the guard said nothing")
        return replace(parse(answer), raw=answer.text)
    except NotAVerdict as refused:
        return Reading(None, raw=answer.text, failure=str(refused))


def thoughts_and_rest(text: str) -> tuple[str, str]:
    """A closed ``<think>`` block at the start, and what follows. Raises NotAVerdict."""
    match = _THOUGHTS.match(text)
    thoughts, rest = (match[1], text[match.end() :]) if match else ("", text)
    if "<think>" in rest or "</think>" in rest:
        raise NotAVerdict("the guard did not finish thinking")
    return thoughts, rest


def by_level(
    probabilities: Sequence[float] | None, levels: Sequence[Severity]
) -> tuple[float, ...] | None:
    """The choices' probabilities by severity, to sum 1; `levels[i]` is the level of choice i.

    None if the engine gave none. Raises NotAVerdict if they are not about the question.
    """
    if not probabilities:
        return None
    sound = all(math.isfinite(one) and 0 <= one <= 1 for one in probabilities)
    if len(probabilities) != len(levels) or not sound or sum(probabilities) > 1.01:
        raise NotAVerdict("the guard's probabilities make no sense")
    total = sum(probabilities)
    if total < _MIN_MASS:
        raise NotAVerdict("the guard is not sure that its answer is a verdict at all")
    row = [0.0] * len(LABELS)
    for level, probability in zip(levels, probabilities, strict=True):
        row[level] += probability / total
    return tuple(row)


def two_way(answer: Output, harmful: bool, categories: Sequence[str] = ()) -> Reading:
    """The reading of a yes or no whose choices were asked for in the order (harmful, harmless).

    The level is `grades.grade` of the probability, or `taxonomy.unsafe` where there is none.
    Raises NotAVerdict if what it wrote is not what it found likelier.
    """
    named = tuple(categories) if harmful else ()
    row = by_level(answer.probabilities, (Severity.CAUTION, Severity.CASUAL))
    if row is None:
        return Reading(unsafe(named) if harmful else Severity.CASUAL, categories=named)
    chance = row[Severity.CAUTION]
    if (chance >= UNSAFE_FROM) is not harmful:
        raise NotAVerdict("the guard contradicts itself")
    level = grade(chance, named)
    return Reading(level, row_of(level, chance), categories=named)


def moved(reading: Reading, level: Severity) -> Reading:
    """The reading with another level, which takes the probability along."""
    if reading.severity is level or reading.probabilities is None:
        return replace(reading, severity=level)
    chance = 1 - reading.probabilities[Severity.CASUAL]
    return replace(reading, severity=level, probabilities=row_of(level, chance))


def with_explanation(reading: Reading, text: str, *, last: bool = False) -> Reading:
    """The reading with the model's explanation as its rule, if it is flagged.

    Not where it needs intervention: what a model says about somebody in need is no rule for them,
    and the rulebook's rules for that are written with care.
    """
    if reading.severity in (None, Severity.CASUAL, Severity.INTERVENTION):
        return reading
    return replace(reading, rule=explained(text, last=last))


def explained(text: str, *, last: bool = False) -> str:
    """A model's explanation as a rule: one line, bounded, without control tokens or tags.

    The first sentences that fit, or the last ones. Empty if nothing is left.
    """
    plain = one_rule(
        defuse(_LOOSE.sub(" ", _MARKS.sub(" ", text[-4000:] if last else text[:4000])))
    )
    if len(plain) <= RULE_LENGTH:
        return plain
    kept: list[str] = []
    said = list(cuts.sentences(plain))
    for sentence in reversed(said) if last else said:
        if len("".join(kept)) + len(sentence) > RULE_LENGTH:
            break
        kept.append(sentence)
    whole = "".join(reversed(kept) if last else kept).strip()
    return whole or f"{plain[:RULE_LENGTH].rpartition(' ')[0] or plain[: RULE_LENGTH - 1]}…"
