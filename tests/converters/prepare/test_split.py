"""The split: whole threads, by shares in every stratum, by salt, and as sources ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.prepare.recipe import SPLITS, SplitRecipe
from converters.prepare.split import split_of

TRAIN, VALIDATION, TEST = range(3)


def _random(count: int, threads: int, strata: int) -> tuple[Any, list[str], Any, Any]:
    chance = np.random.default_rng(7)
    ids = chance.integers(0, 2**63, threads).astype(np.uint64)
    thread = chance.integers(0, threads, count)
    names = [f"source{n}|{n % 5}" for n in range(strata)]
    stratum = (thread % strata).astype(np.int32)
    return ids[thread], names, stratum, np.full(count, -1, np.int8)


def test_no_thread_spans_two_splits() -> None:
    threads, names, stratum, pins = _random(5_000, 900, 4)
    split = split_of(threads, names, stratum, pins, SplitRecipe())
    for thread in np.unique(threads):
        assert len(set(split[threads == thread].tolist())) == 1
    assert set(split.tolist()) == {TRAIN, VALIDATION, TEST}


def test_the_shares_hold_in_every_stratum() -> None:
    threads, names, stratum, pins = _random(40_000, 40_000, 5)
    split = split_of(threads, names, stratum, pins, SplitRecipe(0.8, 0.05, 0.15))
    for number in range(5):
        own = split[stratum == number]
        shares = np.bincount(own, minlength=3) / len(own)
        assert shares == pytest.approx([0.8, 0.05, 0.15], abs=0.002)


def test_the_order_of_records_and_names_plays_no_part() -> None:
    threads, names, stratum, pins = _random(3_000, 700, 6)
    split = split_of(threads, names, stratum, pins, SplitRecipe())
    order = np.random.default_rng(1).permutation(3_000)
    renamed = list(reversed(names))
    turned = (5 - stratum).astype(np.int32)
    again = split_of(threads[order], renamed, turned[order], pins[order], SplitRecipe())
    assert np.array_equal(split[order], again)


def test_another_salt_gives_another_split() -> None:
    threads, names, stratum, pins = _random(3_000, 3_000, 2)
    one = split_of(threads, names, stratum, pins, SplitRecipe(salt="a"))
    other = split_of(threads, names, stratum, pins, SplitRecipe(salt="b"))
    assert 0.05 < (one != other).mean() < 0.4


def test_small_strata_are_served_by_chance_and_not_never() -> None:
    """A hundred strata of five records: a twentieth of each is less than one record."""
    count = 500
    threads = np.arange(1, count + 1, dtype=np.uint64)
    stratum = (np.arange(count) // 5).astype(np.int32)
    names = [f"s{n:03d}|0" for n in range(100)]
    split = split_of(threads, names, stratum, np.full(count, -1, np.int8), SplitRecipe())
    assert 10 <= (split == TEST).sum() <= 45
    assert 10 <= (split == VALIDATION).sum() <= 45


def test_pinned_threads_go_where_their_source_asks() -> None:
    threads = np.array([1, 1, 2, 3, 3, 4], np.uint64)
    pins = np.array([VALIDATION, -1, TRAIN, TRAIN, TEST, -1], np.int8)
    stratum = np.zeros(6, np.int32)
    recipe = SplitRecipe(1.0, 0.0, 0.0)
    split = split_of(threads, ["s|"], stratum, pins, recipe)
    assert split.tolist() == [VALIDATION, VALIDATION, TRAIN, TEST, TEST, TRAIN]


def test_one_share_takes_all() -> None:
    threads, names, stratum, pins = _random(100, 50, 3)
    for number, shares in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
        recipe = SplitRecipe(*map(float, shares))
        assert set(split_of(threads, names, stratum, pins, recipe).tolist()) == {number}, SPLITS


def test_nothing_gives_nothing() -> None:
    nothing = np.empty(0, np.uint64)
    split = split_of(nothing, [], nothing.astype(np.int32), nothing.astype(np.int8), SplitRecipe())
    assert len(split) == 0
