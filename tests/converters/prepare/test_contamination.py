from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.prepare.contamination import EvaluationSets, Known
from converters.prepare.shingles import grams

SETS = {
    "kettles": [
        (1, "Where do I buy a copper kettle that whistles?"),
        (2, "My kettle is older than the house it stands in."),
    ],
    "ladders": [(7, "Never lean a ladder against a window."), (9, "where do i buy a ladder")],
}


def known(text: str, threshold: float = 0.7) -> Known | None:
    return EvaluationSets({name: iter(rows) for name, rows in SETS.items()}, threshold).find(text)


def test_the_same_letters_are_exact() -> None:
    found = known("never LEAN a ladder, against a window!")
    assert found == Known("ladders", 7, 1.0, exact=True)
    assert (found.reason, found.place) == ("in ladders", "in ladders, row 7")


def test_a_few_letters_more_are_near() -> None:
    found = known("So, where do I buy a copper kettle that whistles, please")
    assert found is not None
    assert (found.set, found.row, found.exact) == ("kettles", 1, False)
    assert 0.7 <= found.similarity < 1
    assert (found.reason, found.place) == ("near kettles", "near kettles, row 1")


@pytest.mark.parametrize("text", ["", "?", "a kettle", "Where do I buy a copper window ladder?"])
def test_other_texts_are_not_known(text: str) -> None:
    assert known(text) is None


def test_the_threshold_decides() -> None:
    text = "Where do I buy a copper kettle that sings?"
    assert known(text, 0.9) is None
    assert known(text, 0.6) is not None


def test_the_nearest_row_is_named_and_of_equal_ones_the_first() -> None:
    rows = [(1, "one yellow pancake on the plate here"), (2, "one yellow pancake on the plate")]
    sets = EvaluationSets({"first": rows, "second": list(rows)})
    found = sets.find("one yellow pancake on the plate hm")
    assert found is not None
    assert (found.set, found.row) == ("first", 2)


def test_nothing_is_known_without_sets() -> None:
    sets = EvaluationSets({})
    assert len(sets) == 0
    assert sets.find_all(["some text", "another"]) == [None, None]


def _grams(text: str) -> frozenset[int]:
    return frozenset(grams([text])[0].tolist())


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1.0])
def test_it_finds_what_comparing_all_finds(threshold: float) -> None:
    source = random.Random(5)
    words = ["tea", "cup", "pot", "jug", "pan", "lid", "mug", "jar", "tin", "box"]
    rows = [(at, " ".join(source.choices(words, k=source.randint(2, 9)))) for at in range(120)]
    texts = [" ".join(source.choices(words, k=source.randint(2, 9))) for _ in range(200)]
    sets = EvaluationSets({"all": rows}, threshold)
    own = [_grams(text) for _, text in rows]
    hits = 0
    for text, found in zip(texts, sets.find_all(texts), strict=True):
        mine = _grams(text)
        best = max(len(mine & other) / len(mine | other) for other in own)
        assert (found is not None) == (best >= threshold), text
        if found is not None:
            hits += 1
            assert found.similarity == pytest.approx(best)
    assert hits > 0


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_can_be_looked_for(texts: list[str]) -> None:
    sets = EvaluationSets({"own": list(enumerate(texts, start=1))})
    assert all(found is not None for found in sets.find_all(texts))
