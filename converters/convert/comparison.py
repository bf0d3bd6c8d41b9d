"""How far two models' logits are apart. Pure; no limit is decided here.

KL is the divergence of the second model's distribution from the first's, in nats
(sum p log(p/q)), and NMSE the squared error over the variance of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CLEAR = 0.05
"""A flip counts where the reference preferred its answer by at least this probability."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The distance between two tables of logits, row for row."""

    rows: int
    largest: float
    """The largest difference of two logits."""
    nmse: float
    kl_mean: float
    kl_999: float
    """The 99.9th percentile over the rows."""
    flips: float
    """The share of rows whose most probable entry changed although it was clear."""


def difference(ours: np.ndarray, reference: np.ndarray) -> Difference:
    """Compare rows of logits; rows that are not finite are infinitely far apart."""
    import numpy as np

    if ours.shape != reference.shape or not np.isfinite(ours).all():
        infinite = float("inf")
        return Difference(len(reference), infinite, infinite, infinite, infinite, 1.0)
    mine, theirs = ours.astype(np.float64), reference.astype(np.float64)
    gap = mine - theirs
    p, q = _log_softmax(theirs), _log_softmax(mine)
    kl = np.maximum((np.exp(p) * (p - q)).sum(axis=-1), 0.0)
    every = np.arange(len(theirs))
    first, second = theirs.argmax(-1), mine.argmax(-1)
    lost = np.exp(p[every, first]) - np.exp(p[every, second])
    spread = float(np.square(theirs - theirs.mean(-1, keepdims=True)).sum())
    return Difference(
        rows=len(theirs),
        largest=float(np.abs(gap).max(initial=0.0)),
        nmse=float(np.square(gap).sum()) / max(spread, 1e-12),
        kl_mean=float(kl.mean()),
        kl_999=float(np.quantile(kl, 0.999)),
        flips=float((lost > CLEAR).mean()),
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    import numpy as np

    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
