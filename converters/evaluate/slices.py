"""The same guard on parts of a set: by category, language, source and length of the message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.evaluate.samples import Sample

if TYPE_CHECKING:
    from converters.evaluate.arrays import Bools
    from converters.evaluate.outcomes import Outcome

_LENGTHS = ((50, "to 50"), (200, "51 to 200"), (1000, "201 to 1,000"))
"""Characters."""
_MOST = 50
"""Slices of one kind; a set with more values than that has free text there, and the rest is one."""


@dataclass(frozen=True, slots=True)
class Slice:
    """How the guard does on some rows of a set."""

    by: str
    value: str
    rows: int
    harmful: int
    flagged: int
    accuracy: float | None
    """Of the level, if these rows say one."""
    recall: float | None
    """Flagged among the harmful."""
    false_alarm_rate: float | None
    """Flagged among the harmless."""
    unreadable: int


def length_of(sample: Sample) -> str:
    """In which group a message is by its length in characters."""
    size = len(sample.text)
    return next((name for limit, name in _LENGTHS if size <= limit), "over 1,000")


def slices(outcome: Outcome) -> list[Slice]:
    """All slices of a set; a kind in which all rows are the same is left out."""
    kinds: tuple[tuple[str, Callable[[Sample], str]], ...] = (
        ("category", lambda sample: sample.category),
        ("language", lambda sample: sample.lang),
        ("source", lambda sample: sample.source),
        ("length", length_of),
    )
    found = []
    for by, value_of in kinds:
        values = [value_of(sample) or "(none)" for sample in outcome.samples]
        counts = Counter(values)
        named = sorted(counts, key=lambda value: (-counts[value], value))[:_MOST]
        if len(counts) > _MOST:
            values = [value if value in named else "(other)" for value in values]
            named.append("(other)")
        if len(named) > 1:
            found += [_slice(outcome, by, value, values) for value in named]
    return found


def _slice(outcome: Outcome, by: str, value: str, values: list[str]) -> Slice:
    import numpy as np

    rows = np.array([one == value for one in values])
    levels = rows & outcome.allowed.any(axis=1)
    given = np.maximum(outcome.level, 0)
    right = outcome.allowed[np.arange(len(given)), given] & ~outcome.unreadable
    harmful, harmless = rows & (outcome.unsafe == 1), rows & (outcome.unsafe == 0)
    return Slice(
        by=by,
        value=value,
        rows=int(rows.sum()),
        harmful=int(harmful.sum()),
        flagged=int((rows & outcome.flagged).sum()),
        accuracy=_share(right, levels),
        recall=_share(outcome.flagged, harmful),
        false_alarm_rate=_share(outcome.flagged, harmless),
        unreadable=int((rows & outcome.unreadable).sum()),
    )


def _share(part: Bools, whole: Bools) -> float | None:
    count = int(whole.sum())
    return round(float((part & whole).sum()) / count, 6) if count else None
