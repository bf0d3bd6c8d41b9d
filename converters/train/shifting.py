"""Constants added to the logits after training: what was learned of rare levels, at the right rate.

The training files hold the levels in other shares than people's messages do, and other annotators
draw the lines elsewhere. Two things are fitted on dev records and then become part of the model's
head, so that the most probable level is the level:

- how much more of the two severe levels there is (on records that people labelled, among those
  that are flagged; the two mild ones keep their ratio, since few records tell them apart);
- where casual ends: the constant of the first level with the best mean, over the sources that have
  both, of recall minus false alarms (Youden 1950, Cancer 3, 32-35).

Pure numpy; what the temperature is then is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.train.calibration import nll

_WEIGHT = 0.02
"""Of the squares of the constants: without it a level of few records is moved far."""
_STEPS = [number / 20 for number in range(-60, 61)]
_ROUNDS = 4
_FEW = 10
"""A source with fewer rows of a kind says little about recall or false alarms."""


def severe_shift(logits: Any, allowed: Any) -> list[float]:
    """Five constants, 0 for the three mildest levels. Rows: flagged ones, `allowed` has 0 and 1."""
    import numpy as np

    rows, mask = np.asarray(logits)[:, 1:], np.asarray(allowed)[:, 1:]
    shift = [0.0, 0.0, 0.0, 0.0]
    for _ in range(_ROUNDS):
        for level in (2, 3):

            def loss(step: float, level: int = level) -> float:
                tried = [*shift[:level], step, *shift[level + 1 :]]
                return nll(rows + np.array(tried), mask, 1.0) + _WEIGHT * step * step

            shift[level] = min(_STEPS, key=loss)
    return [0.0, *shift]


def casual_shift(logits: Any, flagged: Sequence[bool | None], sources: Sequence[str]) -> float:
    """The constant of level 0; 0 if no source has enough rows of both kinds."""
    import numpy as np

    rows = np.asarray(logits)
    margin = rows[:, 1:].max(axis=1) - rows[:, 0]
    groups = []
    for source in sorted(set(sources)):
        mine = [n for n, other in enumerate(sources) if other == source]
        harmful = margin[[n for n in mine if flagged[n] is True]]
        harmless = margin[[n for n in mine if flagged[n] is False]]
        if min(len(harmful), len(harmless)) >= _FEW:
            groups.append((harmful, harmless))
    if not groups:
        return 0.0

    def balance(step: float) -> tuple[float, float]:
        gains = [(a > step).mean() - (b > step).mean() for a, b in groups]
        return float(np.mean(gains)), -abs(step)

    return max(_STEPS, key=balance)
