"""The classifier family: how messages are put to it, and how scores become levels."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.conversation import Message
from oa_chat.engine.protocol import Output, Window
from oa_chat.guards.classifier import Classifier, expected_level, level_of
from oa_chat.verdict import Severity

FAMILY = Classifier(order=(0, 1, 2, 3, 4))


def test_context_is_written_as_the_card_says() -> None:
    passage = FAMILY.prompt(
        [
            Message("system", "be brief"),
            Message("user", "hello\nthere"),
            Message("assistant", "hi"),
            Message("user", "and now?"),
        ]
    )
    assert passage.text == "and now?"
    assert passage.context == "user: hello there assistant: hi"


def test_a_first_message_has_no_context() -> None:
    assert FAMILY.prompt([Message("user", "hi")]).context == ""


def test_the_worst_window_wins() -> None:
    harmless = Window([0.9, 0.05, 0.03, 0.01, 0.01])
    harmful = Window([0.1, 0.1, 0.1, 0.6, 0.1])
    reading = FAMILY.read([harmless, harmful, harmless])
    assert reading.severity is Severity.CAUTION
    assert reading.probabilities == (0.1, 0.1, 0.1, 0.6, 0.1)
    assert reading.windows == 3


def test_of_two_windows_of_one_level_the_surer_harm_counts() -> None:
    unsure = Window([0.3, 0.1, 0.1, 0.4, 0.1])
    sure = Window([0.0, 0.0, 0.1, 0.7, 0.2])
    assert FAMILY.read([sure, unsure]).probabilities == tuple(sure.probabilities)


def test_the_files_order_of_labels_is_followed() -> None:
    shuffled = Classifier(order=(4, 3, 2, 1, 0))
    reading = shuffled.read([Window([0.7, 0.1, 0.1, 0.05, 0.05])])
    assert reading.severity is Severity.INTERVENTION
    assert reading.probabilities == (0.05, 0.05, 0.1, 0.1, 0.7)


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [1.0],
        [0.2] * 6,
        [math.nan, 0.2, 0.2, 0.2, 0.2],
        [math.inf, 0, 0, 0, 0],
        [0.5, 0.5, 0.5, 0.0, 0.0],
        [0.0] * 5,
        [1.5, -0.5, 0.0, 0.0, 0.0],
    ],
)
def test_scores_that_make_no_sense_are_no_verdict(scores: list[float]) -> None:
    assert FAMILY.read([Window(scores)]).severity is None
    good = Window([0.9, 0.05, 0.03, 0.01, 0.01])
    assert FAMILY.read([good, Window(scores)]).severity is None


def test_no_windows_and_text_are_no_verdict() -> None:
    assert FAMILY.read([]).severity is None
    assert FAMILY.read(Output("__casual__", None, finished=True)).severity is None


def test_equal_probabilities_give_the_more_severe_level() -> None:
    assert level_of([0.4, 0.1, 0.1, 0.4, 0.0]) is Severity.CAUTION
    assert expected_level([0.0, 0.0, 0.5, 0.5, 0.0]) == pytest.approx(2.5)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=7))
def test_reading_is_total(scores: list[float]) -> None:
    reading = FAMILY.read([Window(scores)])
    if reading.severity is not None:
        assert reading.probabilities is not None
        assert sum(reading.probabilities) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("casual", "rest", "plain", "strict", "lenient"),
    [
        (0.6, (0.1, 0.2, 0.05, 0.05), 0, 2, 0),
        (0.3, (0.4, 0.1, 0.1, 0.1), 1, 1, 0),
        (0.1, (0.1, 0.1, 0.6, 0.1), 3, 3, 3),
        (0.75, (0.25, 0.0, 0.0, 0.0), 0, 0, 0),
    ],
)
def test_a_threshold_alone_decides_what_is_flagged(
    casual: float, rest: tuple[float, ...], plain: int, strict: int, lenient: int
) -> None:
    windows = [Window([casual, *rest])]
    for flag_below, level in ((0.0, plain), (0.7, strict), (0.2, lenient)):
        family = Classifier(FAMILY.order, flag_below)
        assert family.read(windows).severity == Severity(level)


def test_under_a_threshold_the_worst_window_wins_too() -> None:
    family = Classifier(FAMILY.order, 0.7)
    harmless, doubtful = Window([0.9, 0.1, 0, 0, 0]), Window([0.6, 0.1, 0.1, 0.2, 0])
    reading = family.read([harmless, doubtful])
    assert reading.severity is Severity.CAUTION
    assert reading.probabilities == tuple(doubtful.probabilities)


def test_two_equal_levels_under_a_threshold() -> None:
    assert level_of([0.2, 0.3, 0.3, 0.1, 0.1], 0.5) is Severity.PROBABLY
    assert level_of([0.5, 0.2, 0.1, 0.1, 0.1], 0.5) is Severity.CASUAL
