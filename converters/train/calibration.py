"""Numbers of a classifier on labelled rows: F1, temperature, threshold. From dev files alone.

Temperature: one number T that minimises the mean of -log(sum of p over the allowed levels) of
softmax(logits / T) (Guo et al. 2017, arXiv 1706.04599, with partial labels). Pure numpy; `evaluate`
has the full set of measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_GOLDEN = (5**0.5 - 1) / 2
_BINS = 15
_THRESHOLDS = [number / 100 for number in range(1, 100)]


def probabilities(logits: Any, temperature: float = 1.0) -> Any:
    """Softmax over the last axis."""
    import numpy as np

    scaled = np.asarray(logits, dtype=np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def macro_f1(truth: Sequence[int], given: Sequence[int], count: int) -> float:
    """The mean F1 of the labels that occur in `truth`."""
    scores = [f1 for label in range(count) if (f1 := label_f1(truth, given, label)) is not None]
    return sum(scores) / len(scores) if scores else 0.0


def label_f1(truth: Sequence[int], given: Sequence[int], label: int) -> float | None:
    """F1 of one label; None if it does not occur in `truth`."""
    pairs = list(zip(truth, given, strict=True))
    right = sum(t == g == label for t, g in pairs)
    wrong = sum((t == label) != (g == label) for t, g in pairs)
    if label not in truth:
        return None
    return 2 * right / (2 * right + wrong)


def nll(logits: Any, allowed: Any, temperature: float) -> float:
    """Mean of -log(sum of p over the allowed levels); `allowed` has 0 and 1 like `logits`."""
    import numpy as np

    mass = (probabilities(logits, temperature) * np.asarray(allowed)).sum(axis=-1)
    return float(-np.log(np.maximum(mass, 1e-12)).mean())


def fit_temperature(logits: Any, allowed: Any) -> float:
    """The temperature between 0.25 and 4 with the least `nll`, to three places."""
    import math

    low, high = math.log(0.25), math.log(4.0)
    for _ in range(40):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if nll(logits, allowed, math.exp(left)) < nll(logits, allowed, math.exp(right)):
            high = right
        else:
            low = left
    return round(math.exp((low + high) / 2), 3)


def calibration_error(logits: Any, truth: Sequence[int], temperature: float) -> float:
    """Expected calibration error of the most probable level, 15 equal bins."""
    import numpy as np

    rows = probabilities(logits, temperature)
    sure, right = rows.max(axis=-1), rows.argmax(axis=-1) == np.asarray(truth)
    error = 0.0
    for number in range(_BINS):
        inside = (sure > number / _BINS) & (sure <= (number + 1) / _BINS)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return float(error)


def best_threshold(casual: Sequence[float], flagged: Sequence[bool]) -> float:
    """The p(casual) below which a message is flagged, for the best F1."""
    best, found = -1.0, 0.0
    for threshold in _THRESHOLDS:
        given = [p < threshold for p in casual]
        score = label_f1([int(f) for f in flagged], [int(g) for g in given], 1) or 0.0
        if score > best:
            best, found = score, threshold
    return found


def threshold_for(casual: Sequence[float], flagged: Sequence[bool], most: float) -> float:
    """The highest p(casual) threshold with at most this share of false alarms."""
    benign = sorted(p for p, flag in zip(casual, flagged, strict=True) if not flag)
    fits = [t for t in _THRESHOLDS if sum(p < t for p in benign) <= most * len(benign)]
    return max(fits, default=0.0)
