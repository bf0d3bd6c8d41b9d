"""Levels: accuracy, F1 and distances, with partial labels and unreadable answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn import metrics as sk

from converters.evaluate.ordinal import level_report
from converters.evaluate.outcomes import Outcome, Prediction, outcome_of
from converters.evaluate.samples import Sample
from oa_chat.conversation import Message
from oa_chat.verdict import LABELS, Severity


def sample(at: int, *levels: int) -> Sample:
    return Sample(
        number=at,
        messages=(Message("user", f"message {at}"),),
        levels=frozenset(map(Severity, levels)),
        unsafe=None if 0 in levels and len(levels) > 1 else 0 not in levels,
        category="",
        lang="",
        source="",
    )


def outcome(truth: Sequence[tuple[int, ...]], given: Sequence[int | None]) -> Outcome:
    predictions = [
        Prediction(level, None if level is None else tuple(np.eye(5)[level])) for level in given
    ]
    return outcome_of([sample(at, *one) for at, one in enumerate(truth)], predictions)


def test_levels_are_counted_as_scikit_learn_does() -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, 5, 200)
    given = np.clip(truth + random.integers(-2, 3, 200), 0, 4)
    report = level_report(outcome([(int(one),) for one in truth], given.tolist()))
    assert report is not None
    found = report.figures
    assert found["accuracy"].value == pytest.approx(sk.accuracy_score(truth, given))
    assert found["macro_f1"].value == pytest.approx(sk.f1_score(truth, given, average="macro"))
    assert found["mean_absolute_error"].value == pytest.approx(np.abs(truth - given).mean())
    assert found["within_one"].value == pytest.approx((np.abs(truth - given) <= 1).mean())
    # All the probability is on the given level, so the expected error is the error.
    assert found["expected_ordinal_error"].value == found["mean_absolute_error"].value
    precision, recall, f1, support = sk.precision_recall_fscore_support(truth, given)
    for level, label in enumerate(LABELS):
        got = report.per_level[label]
        assert got["precision"].value == pytest.approx(precision[level])
        assert got["recall"].value == pytest.approx(recall[level])
        assert got["f1"].value == pytest.approx(f1[level])
        assert report.support[label] == support[level]
    expected = sk.confusion_matrix(truth, given)
    assert np.array(report.confusion)[:, :5].tolist() == expected.tolist()


def test_an_allowed_level_is_right_and_a_wrong_one_is_measured_from_the_nearest() -> None:
    report = level_report(outcome([(1, 2), (1, 2), (3, 4)], [2, 4, 0]))
    assert report is not None
    assert report.figures["accuracy"].value == pytest.approx(1 / 3)
    assert report.figures["mean_absolute_error"].value == pytest.approx((0 + 2 + 3) / 3)
    confusion = np.array(report.confusion)
    assert confusion[2, 2] == 1  # the given one, because it is allowed
    assert confusion[2, 4] == 1  # 2 is nearer to 4 than 1 is
    assert confusion[3, 0] == 1


def test_an_unreadable_answer_is_wrong_and_has_no_distance() -> None:
    report = level_report(outcome([(1,), (1,), (0,)], [1, None, 1]))
    assert report is not None
    assert report.figures["accuracy"].value == pytest.approx(1 / 3)
    assert report.figures["mean_absolute_error"].value == pytest.approx(0.5)
    assert np.array(report.confusion)[1].tolist() == [0, 1, 0, 0, 0, 1]


def test_a_level_that_no_row_has_does_not_count_in_macro_f1() -> None:
    report = level_report(outcome([(0,), (3,), (3,)], [0, 3, 4]))
    assert report is not None
    assert report.figures["macro_f1"].value == pytest.approx((1 + 2 / 3) / 2)
    assert report.per_level[LABELS[1]]["f1"].value is None


def test_a_set_without_levels_has_no_report() -> None:
    samples = [Sample(0, (Message("user", "hello"),), frozenset(), True, "", "", "")]
    assert level_report(outcome_of(samples, [Prediction(0)])) is None


def test_unreadable_is_flagged_and_the_highest_score() -> None:
    seen = outcome([(0,), (3,)], [None, 3])
    assert seen.flagged.tolist() == [True, True]
    assert seen.some_harm().tolist() == [1.0, 1.0]
    assert seen.grave_harm().tolist() == [1.0, 1.0]


def test_the_guards_threshold_and_the_most_probable_level_are_told_apart() -> None:
    rows = (0.45, 0.4, 0.15, 0.0, 0.0)
    seen = outcome_of([sample(0, 1)], [Prediction(1, rows)])
    assert not seen.flagged[0]
    assert seen.flagged_by_guard[0]


def test_of_equal_probabilities_the_more_severe_level_is_the_most_probable() -> None:
    seen = outcome_of([sample(0, 1)], [Prediction(3, (0.4, 0.1, 0.1, 0.4, 0.0))])
    assert seen.top.tolist() == [3]
