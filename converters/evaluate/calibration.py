"""Whether probabilities mean what they say, and one temperature that helps.

ECE with 15 bins of equal width and temperature scaling: Guo et al. 2017, "On Calibration of Modern
Neural Networks" (arXiv 1706.04599). Brier score: Brier 1950, in its form over all classes (0 to 2).
A temperature T turns p into p^(1/T), normalised: the same as dividing the logits by T. It is
fitted by the likelihood of the allowed levels, on dev rows only: `report` never hands over a test
set. Unreadable answers have no probabilities and are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.evaluate.intervals import RESAMPLES, Figures, figures

if TYPE_CHECKING:
    from converters.evaluate.arrays import Bools, Floats, Ints
    from converters.evaluate.outcomes import Outcome

BINS = 15
_LOWEST, _HIGHEST = 0.05, 20.0
_STEPS = 80
"""Golden sections: the interval of ln T shrinks from 6 to 1e-16."""
_TINY = 1e-12
_FEWEST = 20
"""Rows below which a temperature would be noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """What reliability is computed from; `n` rows."""

    confidence: Floats
    """(n,) what the guard claims."""
    right: Floats
    """(n,) 1 where it was so, else 0."""
    brier: Floats
    """(n,) squared error of the row."""


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """(n, k) probabilities at a temperature."""
    import numpy as np

    logits = np.log(np.clip(probabilities, _TINY, None)) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = weights / weights.sum(axis=1, keepdims=True)
    return found


def fit_temperature(probabilities: Floats, allowed: Bools) -> float | None:
    """The temperature with the greatest likelihood; None for too few rows or no signal.

    `probabilities` (n, 5) and the levels `allowed` (n, 5); rows that allow all or none say nothing.
    """
    import numpy as np

    telling = allowed.any(axis=1) & ~allowed.all(axis=1) & ~np.isnan(probabilities).any(axis=1)
    if telling.sum() < _FEWEST:
        return None
    rows, right = probabilities[telling], allowed[telling]

    def loss(log_temperature: float) -> float:
        mass = (tempered(rows, math.exp(log_temperature)) * right).sum(axis=1)
        return float(-np.log(np.clip(mass, _TINY, None)).mean())

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    golden = (math.sqrt(5) - 1) / 2
    first, second = high - golden * (high - low), low + golden * (high - low)
    left, right_loss = loss(first), loss(second)
    for _ in range(_STEPS):
        if left <= right_loss:
            high, second, right_loss = second, first, left
            first = high - golden * (high - low)
            left = loss(first)
        else:
            low, first, left = first, second, right_loss
            second = low + golden * (high - low)
            right_loss = loss(second)
    return math.exp((low + high) / 2)


def level_confidences(outcome: Outcome, temperature: float = 1.0) -> Confidences | None:
    """How sure the guard is of its most probable level, on rows with exactly one level."""
    import numpy as np

    if outcome.probabilities is None:
        return None
    rows = (outcome.allowed.sum(axis=1) == 1) & ~np.isnan(outcome.probabilities).any(axis=1)
    if not rows.any():
        return None
    given, truth = tempered(outcome.probabilities[rows], temperature), outcome.allowed[rows]
    right = truth[np.arange(len(truth)), outcome.top[rows]].astype(np.float64)
    return Confidences(given.max(axis=1), right, ((given - truth) ** 2).sum(axis=1))


def flag_confidences(outcome: Outcome, temperature: float = 1.0) -> Confidences | None:
    """1 - p(casual) against whether the message should be flagged; Brier of one class, 0 to 1."""
    import numpy as np

    if outcome.probabilities is None:
        return None
    rows = (outcome.unsafe >= 0) & ~np.isnan(outcome.probabilities).any(axis=1)
    if not rows.any():
        return None
    claimed = 1 - tempered(outcome.probabilities[rows], temperature)[:, 0]
    right = outcome.unsafe[rows].astype(np.float64)
    return Confidences(claimed, right, (claimed - right) ** 2)


def calibration_figures(seen: Confidences, resamples: int = RESAMPLES) -> Figures:
    """ECE and Brier with intervals."""
    import numpy as np

    place = _bins(seen.confidence)
    gap = np.zeros((len(place), BINS))
    gap[np.arange(len(place)), place] = seen.confidence - seen.right

    def measure(weights: Floats) -> dict[str, Floats]:
        total = weights.sum(axis=1)
        # |mean gap| of a bin x its share of the rows = |sum of its gaps| / rows
        return {
            "ece": np.abs(weights @ gap).sum(axis=1) / total,
            "brier": weights @ seen.brier / total,
        }

    return figures(measure, len(place), resamples=resamples)


def reliability(seen: Confidences) -> list[tuple[float, float, int]]:
    """(mean confidence, share that was right, rows) of each bin with rows."""
    place = _bins(seen.confidence)
    found = []
    for at in range(BINS):
        inside = place == at
        if inside.any():
            mean = float(seen.confidence[inside].mean())
            found.append((mean, float(seen.right[inside].mean()), int(inside.sum())))
    return found


def _bins(confidence: Floats) -> Ints:
    import numpy as np

    place: Ints = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return place
