"""From "how probably is this unsafe" to our five levels, for guards that know two or three. Pure.

Guards that say "safe" or "unsafe" are surest at the extremes; the probability of their first
decisive token says how sure. The bounds are a convention, the same for every such family, since
their makers publish a single threshold (0.5) or none:

    below 0.2 casual, below 0.5 possibly, below 0.8 probably, else needs caution

What a guard calls unsafe and puts under self-harm, minors or abuse needs intervention, however
sure it is: too much help costs less there than too little.
"""

from __future__ import annotations

from collections.abc import Iterable

from oa_chat.guards.taxonomy import unsafe
from oa_chat.verdict import LABELS, Severity

POSSIBLY_FROM = 0.2
UNSAFE_FROM = 0.5
"""Where guards themselves say "unsafe"."""
CAUTION_FROM = 0.8


def grade(chance: float, categories: Iterable[str] = ()) -> Severity:
    """The level of a text that is unsafe with this probability, in [0, 1]."""
    if chance < POSSIBLY_FROM:
        return Severity.CASUAL
    if chance < UNSAFE_FROM:
        return Severity.POSSIBLY
    level = unsafe(categories)
    if level is Severity.INTERVENTION or chance >= CAUTION_FROM:
        return level
    return Severity.PROBABLY


def row_of(level: Severity, chance: float) -> tuple[float, ...]:
    """Probabilities by severity: what is not casual stands at the level that was given."""
    row = [0.0] * len(LABELS)
    row[Severity.CASUAL] = 1 - chance
    row[level or Severity.POSSIBLY] = chance
    return tuple(row)
