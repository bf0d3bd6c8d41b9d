"""Calibration error, Brier score and the temperature."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from converters.evaluate.calibration import (
    Confidences,
    calibration_figures,
    fit_temperature,
    flag_confidences,
    level_confidences,
    reliability,
    tempered,
)
from converters.evaluate.outcomes import Prediction, outcome_of
from converters.evaluate.samples import Sample
from oa_chat.conversation import Message
from oa_chat.verdict import Severity


def overconfident(seed: int, temperature: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right once they are softened by `temperature`, and the levels."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.2, (rows, 5))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    levels = (true.cumsum(axis=1) > random.random((rows, 1))).argmax(axis=1)
    return tempered(true, 1 / temperature), np.eye(5, dtype=bool)[levels]


def test_a_temperature_divides_the_logits() -> None:
    logits = np.array([[2.0, 0.5, -1.0, 0.0, 0.3]])
    soft = np.exp(logits) / np.exp(logits).sum()
    wanted = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum()
    assert tempered(soft, 2.5) == pytest.approx(wanted)


@pytest.mark.parametrize("wanted", [0.6, 1.0, 2.2])
def test_the_temperature_is_found(wanted: float) -> None:
    probabilities, levels = overconfident(1, wanted)
    assert fit_temperature(probabilities, levels) == pytest.approx(wanted, rel=0.06)


def test_a_partial_label_counts_by_the_mass_on_what_it_allows() -> None:
    probabilities, levels = overconfident(2, 2.0)
    partial = levels | np.roll(levels, 1, axis=1)
    assert fit_temperature(probabilities, partial) == pytest.approx(2.0, rel=0.12)
    everything = np.ones_like(levels)
    assert fit_temperature(probabilities, everything) is None


def test_few_rows_give_no_temperature() -> None:
    probabilities, levels = overconfident(3, 2.0, rows=19)
    assert fit_temperature(probabilities, levels) is None


def test_unreadable_rows_do_not_count() -> None:
    probabilities, levels = overconfident(4, 1.7)
    with_holes = np.vstack([probabilities, np.full((50, 5), np.nan)])
    more = np.vstack([levels, levels[:50]])
    assert fit_temperature(with_holes, more) == fit_temperature(probabilities, levels)


def test_error_of_a_bin_worked_out_by_hand() -> None:
    seen = Confidences(
        np.array([0.9, 0.9, 0.3]), np.array([1.0, 0.0, 0.0]), np.array([0.01, 0.81, 0.09])
    )
    found = calibration_figures(seen, resamples=0)
    assert found["ece"].value == pytest.approx(2 / 3 * abs(0.5 - 0.9) + 1 / 3 * 0.3)
    assert found["brier"].value == pytest.approx(0.91 / 3)
    assert reliability(seen) == [(0.3, 0.0, 1), (0.9, 0.5, 2)]


def test_certainty_is_in_the_last_bin_and_nothing_in_the_first() -> None:
    seen = Confidences(np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.zeros(2))
    assert reliability(seen) == [(0.0, 0.0, 1), (1.0, 1.0, 1)]


def test_levels_and_flags_are_judged_on_rows_that_say_them() -> None:
    rows = [(0.7, 0.1, 0.1, 0.1, 0.0), (0.2, 0.2, 0.2, 0.2, 0.2), (0.1, 0.0, 0.0, 0.9, 0.0)]
    levels = [frozenset({Severity(0)}), frozenset({Severity(1), Severity(2)}), frozenset()]
    flags = [False, True, None]
    samples = [
        Sample(at, (Message("user", "x"),), one, flag, "", "", "")
        for at, (one, flag) in enumerate(zip(levels, flags, strict=True))
    ]
    seen = outcome_of(samples, [Prediction(int(np.argmax(row)), row) for row in rows])
    level, flag = level_confidences(seen), flag_confidences(seen)
    assert level is not None
    assert flag is not None
    assert level.confidence.tolist() == [pytest.approx(0.7)]
    assert level.brier.tolist() == [pytest.approx(0.3**2 + 3 * 0.1**2)]
    assert flag.confidence.tolist() == [pytest.approx(0.3), pytest.approx(0.8)]
    assert flag.brier.mean() == pytest.approx(sk.brier_score_loss([0, 1], [0.3, 0.8]))
