"""Figures with 95 % bootstrap intervals, computed for all resamples at once.

A *measure* is a function of row weights: all ones give the figure itself, the counts of a resample
give the figure of that resample. So a formula exists once, and 1,000 resamples are a few matrix
products. Percentile bootstrap after Efron and Tibshirani, "An Introduction to the Bootstrap"
(1993), chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.evaluate.arrays import Floats

    Measure = Callable[[Floats], dict[str, Floats]]
    """Weights of shape (resamples, rows) -> each figure's values of shape (resamples,)."""

RESAMPLES = 1000
SEED = 1972
_CELLS = 4_000_000
"""Weights in memory at a time: 32 MB."""
_MOST_UNDEFINED = 0.05
"""A figure that is undefined in more of its resamples gets no interval."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a report."""

    value: float | None
    """None if it is undefined here; then `why` says why."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval, if there is one."""
    why: str = ""

    def fields(self) -> dict[str, float | str | None]:
        """The figure for JSON: six decimals, and only what there is."""
        if self.value is None:
            return {"value": None, "why": self.why}
        found: dict[str, float | str | None] = {"value": round(self.value, 6)}
        if self.low is not None and self.high is not None:
            found |= {"low": round(self.low, 6), "high": round(self.high, 6)}
        return found


Figures = dict[str, Figure]


def undefined(names: tuple[str, ...], why: str) -> Figures:
    """Figures that have no value, with the reason."""
    return {name: Figure(None, why=why) for name in names}


def figures(
    measure: Measure, rows: int, *, why: str = "", resamples: int = RESAMPLES, seed: int = SEED
) -> Figures:
    """The figures of a measure over `rows` rows, with intervals unless `resamples` is 0.

    `why` is the reason given for a figure that comes out undefined (NaN).
    """
    import numpy as np

    points = measure(np.ones((1, rows)))
    drawn: dict[str, list[Floats]] = {name: [] for name in points}
    for weights in _weights(rows, resamples, seed):
        for name, values in measure(weights).items():
            drawn[name].append(values)
    return {
        name: _figure(float(point[0]), np.concatenate(drawn[name]) if drawn[name] else None, why)
        for name, point in points.items()
    }


def _figure(value: float, drawn: Floats | None, why: str) -> Figure:
    import numpy as np

    if not np.isfinite(value):
        return Figure(None, why=why or "undefined for this set")
    if drawn is None or np.isnan(drawn).mean() > _MOST_UNDEFINED:
        return Figure(value)
    low, high = np.percentile(drawn[np.isfinite(drawn)], [2.5, 97.5])
    return Figure(value, float(low), float(high))


def _weights(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn in each resample, in blocks."""
    import numpy as np

    random = np.random.default_rng(seed)
    block = max(1, _CELLS // max(1, rows))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = random.integers(0, rows, size=(count, rows))
        drawn += np.arange(count)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=count * rows)
        yield counts.reshape(count, rows).astype(np.float64)


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where `whole` is 0."""
    import numpy as np

    found: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return found
