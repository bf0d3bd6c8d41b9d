"""Flag, ranking and interval formulas against scikit-learn and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from converters.evaluate.intervals import Figure, figures
from converters.evaluate.metrics import curve, flag_figures, rank_figures


def data(seed: int, rows: int = 300, steps: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and which rows are harmful."""
    random = np.random.default_rng(seed)
    unsafe = random.random(rows) < 0.4
    return np.round(0.3 * unsafe + 0.7 * random.random(rows), 2) * steps / steps, unsafe


@pytest.mark.parametrize("seed", range(5))
def test_the_flag_is_counted_as_scikit_learn_does(seed: int) -> None:
    score, unsafe = data(seed)
    flagged = score > 0.5
    found = flag_figures(flagged, unsafe, resamples=0)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(unsafe, flagged, average="binary")
    assert found["precision"].value == pytest.approx(precision)
    assert found["recall"].value == pytest.approx(recall)
    assert found["f1"].value == pytest.approx(f1)
    assert found["false_alarm_rate"].value == pytest.approx(flagged[~unsafe].mean())


@pytest.mark.parametrize("seed", range(5))
def test_ranking_is_scikit_learns_with_ties(seed: int) -> None:
    score, unsafe = data(seed)
    found = rank_figures(score, unsafe, resamples=0)
    assert found["auprc"].value == pytest.approx(sk.average_precision_score(unsafe, score))
    assert found["auroc"].value == pytest.approx(sk.roc_auc_score(unsafe, score))
    rates, recalls, _ = sk.roc_curve(unsafe, score, drop_intermediate=False)
    at_95 = rates[recalls >= 0.95 - 1e-12].min()
    assert found["false_alarms_at_recall_95"].value == pytest.approx(at_95)
    at_1 = recalls[rates <= 0.01 + 1e-12].max()
    assert found["recall_at_false_alarms_1"].value == pytest.approx(at_1)


def test_numbers_worked_out_by_hand() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.6])
    unsafe = np.array([True, False, True, False])
    found = rank_figures(score, unsafe, resamples=0)
    assert found["auprc"].value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["auroc"].value == pytest.approx(0.75)
    assert found["false_alarms_at_recall_95"].value == pytest.approx(0.5)
    assert found["recall_at_false_alarms_1"].value == pytest.approx(0.5)
    flag = flag_figures(score > 0.65, unsafe, resamples=0)
    assert [flag[name].value for name in ("precision", "recall", "false_alarm_rate")] == [
        pytest.approx(2 / 3),
        1.0,
        0.5,
    ]
    assert flag["f1"].value == pytest.approx(0.8)


def test_equal_scores_are_one_threshold() -> None:
    thresholds, precision, recall, alarms = curve(
        np.array([0.5, 0.9, 0.5]), np.array([True, True, False])
    )
    assert thresholds.tolist() == [0.9, 0.5]
    assert precision.tolist() == [1.0, pytest.approx(2 / 3)]
    assert recall.tolist() == [0.5, 1.0]
    assert alarms.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("unsafe", "why"), [(True, "every message is harmful"), (False, "every")])
def test_one_sided_sets_have_no_ranking_and_say_why(unsafe: bool, why: str) -> None:
    rows = np.array([unsafe] * 4)
    found = rank_figures(np.array([0.1, 0.2, 0.3, 0.4]), rows)
    assert all(figure.value is None and why in figure.why for figure in found.values())
    flag = flag_figures(np.array([True, True, False, True]), rows)
    assert flag["f1"].value is None
    known = "recall" if unsafe else "false_alarm_rate"
    assert flag[known].value == pytest.approx(0.75)
    assert flag["false_alarm_rate" if unsafe else "recall"].value is None


def test_a_guard_without_probabilities_has_no_ranking() -> None:
    found = rank_figures(None, np.array([True, False]))
    assert {figure.why for figure in found.values()} == {"the guard gives no probabilities"}


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    score, unsafe = data(3, rows=400)
    found = rank_figures(score, unsafe)
    random = np.random.default_rng(5)
    drawn = []
    for _ in range(1000):
        rows = random.integers(0, 400, 400)
        drawn.append(sk.average_precision_score(unsafe[rows], score[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    auprc = found["auprc"]
    assert auprc.low == pytest.approx(low, abs=0.012)
    assert auprc.high == pytest.approx(high, abs=0.012)
    assert auprc.low < auprc.value < auprc.high


def test_intervals_are_the_same_in_every_run_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score, unsafe = data(1)
    first = flag_figures(score > 0.5, unsafe)
    assert flag_figures(score > 0.5, unsafe) == first
    monkeypatch.setattr("converters.evaluate.intervals._CELLS", 70_000)
    assert flag_figures(score > 0.5, unsafe) == first


def test_what_is_mostly_undefined_in_resamples_has_no_interval() -> None:
    seen = figures(lambda weights: {"x": np.where(weights[:, 0] > 0, 1.0, np.nan)}, 3)
    assert seen["x"] == Figure(1.0)
    assert seen["x"].fields() == {"value": 1.0}
