"""The five levels as an order: accuracy, F1 a level, and how far off the wrong ones are.

A row may allow several levels (partial label). Any of them is right; a wrong answer is measured
from the nearest one allowed, and in the confusion matrix it stands in the row of that one. An
unreadable answer is a wrong one; it has no distance, so mean errors leave it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.evaluate.intervals import RESAMPLES, Figures, figures, ratio, undefined
from converters.evaluate.outcomes import LEVELS, UNREADABLE, distances
from oa_chat.verdict import LABELS

if TYPE_CHECKING:
    from converters.evaluate.arrays import Bools, Floats, Ints
    from converters.evaluate.outcomes import Outcome

NAMES = ("accuracy", "macro_f1", "mean_absolute_error", "within_one", "expected_ordinal_error")


@dataclass(frozen=True, slots=True)
class LevelReport:
    """How well the levels come out on a set."""

    rows: int
    """Rows that say their level."""
    figures: Figures
    per_level: dict[str, Figures]
    """By label: precision, recall, F1."""
    support: dict[str, int]
    """By label: rows of it."""
    confusion: list[list[int]]
    """5 rows (true level) of 6 (given level, then unreadable)."""
    majority_accuracy: float
    """What always answering the most frequent level would get."""


def level_report(outcome: Outcome, resamples: int = RESAMPLES) -> LevelReport | None:
    """The report, or None if no row says its level."""
    import numpy as np

    rows: Bools = np.asarray(outcome.allowed.any(axis=1))
    if not rows.any():
        return None
    allowed, given = outcome.allowed[rows], outcome.level[rows]
    away = distances(allowed)
    truth = _truth(away, given)
    cells = _cells(truth, given)
    found = _figures(truth, given, away, resamples)
    found |= _expected(outcome, away, rows, resamples)
    confusion = cells.sum(axis=0).reshape(LEVELS, LEVELS + 1).astype(int)
    return LevelReport(
        rows=int(rows.sum()),
        figures={name: found[name] for name in NAMES},
        per_level=_per_level(cells, resamples),
        support={label: int(confusion[at].sum()) for at, label in enumerate(LABELS)},
        confusion=confusion.tolist(),
        majority_accuracy=float(np.max(allowed.mean(axis=0))),
    )


def _truth(away: Floats, given: Ints) -> Ints:
    """The level that a row counts for: the given one if allowed, else the nearest allowed one."""
    import numpy as np

    allowed = away == 0
    steps = np.abs(np.arange(LEVELS)[None, :] - np.maximum(given, 0)[:, None]).astype(np.float64)
    truth: Ints = np.argmin(np.where(allowed, steps, np.inf), axis=1).astype(np.int64)
    return truth


def _cells(truth: Ints, given: Ints) -> Floats:
    """(n, 30) one-hot place of each row in the confusion matrix; unreadable is the last column."""
    import numpy as np

    column = np.where(given == UNREADABLE, LEVELS, given)
    cells = np.zeros((len(truth), LEVELS * (LEVELS + 1)))
    cells[np.arange(len(truth)), truth * (LEVELS + 1) + column] = 1
    return cells


def _figures(truth: Ints, given: Ints, away: Floats, resamples: int) -> Figures:
    import numpy as np

    cells = _cells(truth, given)
    readable = (given != UNREADABLE).astype(np.float64)
    error = away[np.arange(len(given)), np.maximum(given, 0)] * readable
    close = (error <= 1) * readable
    right = (error == 0) * readable

    def measure(weights: Floats) -> dict[str, Floats]:
        total, read = weights.sum(axis=1), weights @ readable
        f1 = _f1(weights @ cells)
        with np.errstate(invalid="ignore"):
            macro = np.nansum(f1, axis=1) / np.maximum((~np.isnan(f1)).sum(axis=1), 1)
        return {
            "accuracy": weights @ right / total,
            "macro_f1": macro,
            "mean_absolute_error": ratio(weights @ error, read),
            "within_one": weights @ close / total,
        }

    return figures(measure, len(truth), why="no answer could be read", resamples=resamples)


def _parts(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """(hits, given, true) by level of flat confusion matrices of shape (b, 30)."""
    matrix = counts.reshape(len(counts), LEVELS, LEVELS + 1)
    hits = matrix[:, range(LEVELS), range(LEVELS)]
    return hits, matrix.sum(axis=1)[:, :LEVELS], matrix.sum(axis=2)


def _f1(counts: Floats) -> Floats:
    """(b, 5) F1 by level; NaN for a level that no row has, so that it does not count."""
    import numpy as np

    hits, given, true = _parts(counts)
    return ratio(2 * hits, np.where(true > 0, given + true, 0))


def _per_level(cells: Floats, resamples: int) -> dict[str, Figures]:
    def measure(weights: Floats) -> dict[str, Floats]:
        counts = weights @ cells
        hits, given, true = _parts(counts)
        found = {"precision": ratio(hits, given), "recall": ratio(hits, true), "f1": _f1(counts)}
        return {
            f"{name} {at}": values[:, at] for name, values in found.items() for at in range(LEVELS)
        }

    flat = figures(measure, len(cells), why="the level does not occur", resamples=resamples)
    return {
        label: {name: flat[f"{name} {at}"] for name in ("precision", "recall", "f1")}
        for at, label in enumerate(LABELS)
    }


def _expected(outcome: Outcome, away: Floats, rows: Bools, resamples: int) -> Figures:
    """The mean distance under the probabilities: sum over levels of p(level) x distance."""
    import numpy as np

    name = "expected_ordinal_error"
    if outcome.probabilities is None:
        return undefined((name,), "the guard gives no probabilities")
    error = (outcome.probabilities[rows] * away).sum(axis=1)
    known = ~np.isnan(error)
    filled = np.nan_to_num(error)

    def measure(weights: Floats) -> dict[str, Floats]:
        return {name: ratio(weights @ filled, weights @ known.astype(np.float64))}

    return figures(measure, len(error), why="no answer could be read", resamples=resamples)
