"""Learning rates and batches are functions of step and seed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.train.schedule import Batches, rates, steps_of
from converters.train.settings import TrainSettings


def test_the_rate_rises_and_falls() -> None:
    factor = rates("linear", 100, 0.1)
    told = [factor(step) for step in range(100)]
    assert told[0] == pytest.approx(1 / 11)
    assert all(a < b for a, b in pairwise(told[:11]))
    assert told[10] == pytest.approx(1.0)
    assert all(a > b for a, b in pairwise(told[10:]))
    assert told[-1] == pytest.approx(1 / 90)


@pytest.mark.parametrize(("kind", "last"), [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)])
def test_the_rate_ends_where_it_should(kind: str, last: float) -> None:
    factor = rates(kind, 1000, 5, 0.5)  # type: ignore[arg-type]
    assert factor(999) == pytest.approx(last, abs=0.001)
    assert factor(500) == pytest.approx({"linear": 0.75, "cosine": 0.75}.get(kind, 1.0), abs=0.01)


def test_steps_come_from_epochs_or_are_said() -> None:
    assert steps_of(TrainSettings(epochs=1.5, batch=10, accumulation=2), 100) == 8
    assert steps_of(TrainSettings(max_steps=3), 100) == 3


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 17), st.booleans())
def test_an_epoch_has_each_record_once(lengths: list[int], size: int, grouped: bool) -> None:
    batches = Batches(lambda _: lengths, size, 7, grouped)
    seen = []
    for step in range(batches.per_epoch):
        epoch, numbers = batches.step(step)
        assert epoch == 0
        assert 1 <= len(numbers) <= size
        seen += numbers
    assert sorted(seen) == list(range(len(lengths)))
    assert batches.step(batches.per_epoch)[0] == 1


def test_batches_are_the_same_whenever_they_are_asked_for() -> None:
    lengths = list(range(1, 41))
    one, other = (Batches(lambda _: lengths, 8, 3, True) for _ in range(2))
    there = [one.step(step) for step in range(10)]
    back = [other.step(step) for step in reversed(range(10))]
    assert there == back[::-1]
    assert there[0][1] != there[5][1]
    assert there != [Batches(lambda _: lengths, 8, 4, True).step(step) for step in range(10)]


def test_length_grouping_pads_little() -> None:
    lengths = [(number * 7919) % 200 + 1 for number in range(3200)]

    def wasted(grouped: bool) -> float:
        batches = Batches(lambda _: lengths, 32, 1, grouped)
        rows = [batches.step(step)[1] for step in range(batches.per_epoch)]
        full = sum(max(lengths[n] for n in row) * len(row) for row in rows)
        return 1 - sum(lengths) / full

    assert wasted(grouped=False) > 0.4
    assert wasted(grouped=True) < 0.03
