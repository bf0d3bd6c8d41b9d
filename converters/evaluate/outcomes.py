"""A guard's answers on a set, as arrays: what every metric is computed from.

An unreadable answer has no level and no probabilities. It counts as flagged (it never passes), as
a wrong level, and as the most harmful score there is; calibration leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.evaluate.samples import Sample
from oa_chat.verdict import LABELS, Severity

if TYPE_CHECKING:
    from converters.evaluate.arrays import Bools, Floats, Ints

UNREADABLE = -1
LEVELS = len(LABELS)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a judge said about one message."""

    level: int | None
    """As the guard gives it, its own thresholds included; None if unreadable."""
    probabilities: tuple[float, ...] | None = None
    rule: str = ""
    failure: str = ""
    """Why there is no level."""
    lost: bool = False
    """Whether the engine failed, so that another run may get an answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Samples and predictions side by side; `n` rows."""

    samples: tuple[Sample, ...]
    level: Ints
    """(n,) the guard's level, or `UNREADABLE`."""
    top: Ints
    """(n,) the most probable level: `level` where there are no probabilities."""
    probabilities: Floats | None
    """(n, 5); rows of NaN are unreadable. None if the guard gives no probabilities."""
    allowed: Bools
    """(n, 5) the levels that may be right; no True in a row without levels."""
    unsafe: Ints
    """(n,) 1 should be flagged, 0 should not, -1 not said."""

    @property
    def flagged(self) -> Bools:
        """(n,) whether the most probable level is not casual; unreadable answers are flagged."""
        flagged: Bools = self.top != int(Severity.CASUAL)
        return flagged

    @property
    def flagged_by_guard(self) -> Bools:
        """(n,) whether the level is not casual, by the guard's own thresholds."""
        flagged: Bools = self.level != int(Severity.CASUAL)
        return flagged

    @property
    def unreadable(self) -> Bools:
        """(n,) whether there is no level."""
        unreadable: Bools = self.level == UNREADABLE
        return unreadable

    def some_harm(self) -> Floats | None:
        """(n,) 1 - p(casual); 1 for an unreadable answer."""
        return self._score(1, LEVELS)

    def grave_harm(self) -> Floats | None:
        """(n,) p(needs_caution) + p(needs_intervention); 1 for an unreadable answer."""
        return self._score(int(Severity.CAUTION), LEVELS)

    def _score(self, start: int, end: int) -> Floats | None:
        import numpy as np

        if self.probabilities is None:
            return None
        score: Floats = np.nan_to_num(self.probabilities[:, start:end].sum(axis=1), nan=1.0)
        return score


def outcome_of(samples: Sequence[Sample], predictions: Sequence[Prediction]) -> Outcome:
    """The arrays of some samples and what was said about them."""
    import numpy as np

    level = np.array(
        [UNREADABLE if one.level is None else one.level for one in predictions], dtype=np.int64
    )
    given = all(one.probabilities is not None or one.level is None for one in predictions)
    given = given and any(one.probabilities is not None for one in predictions)
    none = (float("nan"),) * LEVELS
    rows = np.array(
        [one.probabilities or none if one.level is not None else none for one in predictions],
        dtype=np.float64,
    ).reshape(len(predictions), LEVELS)
    allowed = np.zeros((len(samples), LEVELS), dtype=np.bool_)
    for at, sample in enumerate(samples):
        allowed[at, [int(one) for one in sample.levels]] = True
    unsafe = [-1 if one.unsafe is None else int(one.unsafe) for one in samples]
    top = np.where(level == UNREADABLE, UNREADABLE, _top(rows)) if given else level
    return Outcome(
        samples=tuple(samples),
        level=level,
        top=top,
        probabilities=rows if given else None,
        allowed=allowed,
        unsafe=np.array(unsafe, dtype=np.int64),
    )


def _top(rows: Floats) -> Ints:
    """The most probable level; of equal ones the more severe, as the classifier family says."""
    import numpy as np

    filled = np.nan_to_num(rows, nan=-1.0)
    top: Ints = (LEVELS - 1 - np.argmax(filled[:, ::-1], axis=1)).astype(np.int64)
    return top


def distances(allowed: Bools) -> Floats:
    """(n, 5) how many levels each level is away from the nearest one allowed; inf without any."""
    import numpy as np

    steps = np.abs(np.arange(LEVELS)[:, None] - np.arange(LEVELS)[None, :]).astype(np.float64)
    away: Floats = np.where(allowed[:, None, :], steps[None, :, :], np.inf).min(axis=2)
    return away
