"""Temperature and threshold are found again where they are known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from converters.train import calibration


def drawn(temperature: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too sharp, and labels drawn from the right softmax."""
    chance = np.random.default_rng(1)
    honest = chance.normal(size=(rows, 5)) * 1.5
    labels = [chance.choice(5, p=row) for row in calibration.probabilities(honest)]
    return honest * temperature, np.array(labels)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.8])
def test_the_temperature_is_found(temperature: float) -> None:
    logits, labels = drawn(temperature)
    found = calibration.fit_temperature(logits, np.eye(5)[labels])
    assert found == pytest.approx(temperature, rel=0.06)


def test_calibration_lowers_the_error() -> None:
    logits, labels = drawn(2.0)
    before = calibration.calibration_error(logits, labels, 1.0)
    after = calibration.calibration_error(logits, labels, 2.0)
    assert before > 0.1
    assert after < 0.03


def test_partial_labels_count_as_their_sum() -> None:
    logits = np.log([[0.1, 0.2, 0.3, 0.15, 0.25]])
    assert calibration.nll(logits, [[0, 1, 1, 0, 0]], 1.0) == pytest.approx(-np.log(0.5))


def test_macro_f1_is_that_of_scikit_learn() -> None:
    chance = np.random.default_rng(2)
    truth, given = chance.integers(0, 5, 300).tolist(), chance.integers(0, 5, 300).tolist()
    expected = f1_score(truth, given, average="macro")
    assert calibration.macro_f1(truth, given, 5) == pytest.approx(expected)
    assert calibration.macro_f1([0, 0, 1], [0, 0, 0], 5) == pytest.approx(0.4)


def test_thresholds() -> None:
    casual = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1]
    flagged = [False, False, False, True, False, True, True, True]
    assert calibration.threshold_for(casual, flagged, 0.0) == pytest.approx(0.4)
    assert calibration.threshold_for(casual, flagged, 0.25) == pytest.approx(0.7)
    assert 0.6 < calibration.best_threshold(casual, flagged) <= 0.7
