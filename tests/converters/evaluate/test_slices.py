"""Parts of a set, percentiles and folder names."""

from __future__ import annotations

import pytest

from converters.evaluate.latency import percentile, spread
from converters.evaluate.outcomes import Prediction, outcome_of
from converters.evaluate.output import folder_names
from converters.evaluate.progress import remaining
from converters.evaluate.samples import Sample
from converters.evaluate.slices import Slice, length_of, slices
from oa_chat.conversation import Message
from oa_chat.verdict import Severity


def sample(
    text: str, *, unsafe: bool | None = None, level: int | None = None, **about: str
) -> Sample:
    levels = frozenset() if level is None else frozenset({Severity(level)})
    named = {"category": "", "lang": "", "source": ""} | about
    return Sample(0, (Message("user", text),), levels, unsafe, **named)


def test_each_part_has_its_own_numbers() -> None:
    samples = [
        sample("a", unsafe=True, level=3, category="x"),
        sample("b", unsafe=True, level=1, category="x"),
        sample("c", unsafe=False, level=0, category="x"),
        sample("d" * 60, unsafe=False, category="y"),
    ]
    said = [Prediction(3), Prediction(0), Prediction(2), Prediction(None, failure="?")]
    found = {(one.by, one.value): one for one in slices(outcome_of(samples, said))}
    assert found["category", "x"] == Slice(
        by="category",
        value="x",
        rows=3,
        harmful=2,
        flagged=2,
        accuracy=pytest.approx(1 / 3, abs=1e-6),
        recall=0.5,
        false_alarm_rate=1.0,
        unreadable=0,
    )
    other = found["category", "y"]
    assert (other.accuracy, other.recall, other.false_alarm_rate) == (None, None, 1.0)
    assert other.unreadable == 1
    assert ("language", "(none)") not in found  # all rows alike: no parts
    assert found["length", "51 to 200"].rows == 1


def test_free_text_in_a_column_does_not_make_a_thousand_parts() -> None:
    samples = [sample("a", unsafe=True, category=f"c{at % 70}") for at in range(150)]
    found = slices(outcome_of(samples, [Prediction(1)] * 150))
    assert len(found) == 51
    assert found[-1].value == "(other)"
    assert sum(one.rows for one in found) == 150


def test_lengths_are_in_characters() -> None:
    assert [length_of(sample("x" * size)) for size in (50, 51, 200, 1000, 1001)] == [
        "to 50",
        "51 to 200",
        "51 to 200",
        "201 to 1,000",
        "over 1,000",
    ]


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(one) for one in range(20, 0, -1)]
    assert percentile(values, 0.5) == 10.0
    assert percentile(values, 0.95) == 19.0
    assert percentile([7.0], 0.95) == 7.0


def test_timed_messages_are_spread_over_all() -> None:
    samples = [sample(str(at)) for at in range(10)]
    assert [one.text for one in spread(samples, 4)] == ["0", "2", "5", "7"]
    assert len(spread(samples, 99)) == 10


def test_folders_of_models_are_plain_and_different() -> None:
    names = ["embedded guard", "../../x", "Embedded  Guard", "cache", "\x1b[31m"]
    found = folder_names(names)
    assert found == ["embedded-guard", "x", "embedded-guard-2", "model-cache", "31m"]


def test_remaining_time_is_in_a_unit_for_people() -> None:
    assert remaining(10.0, 64, 136) == ", about 21 s left"
    assert remaining(10.0, 64, 1600) == ", about 4 min left"
    assert remaining(10.0, 64, 0) == ""
