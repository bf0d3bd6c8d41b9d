"""Sets: what they say, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.errors import DataError
from converters.evaluate.samples import (
    GUARD_PACKS,
    named_files,
    pack_files,
    read_set,
    refuse_shared,
    without_texts_of,
)
from oa_chat.errors import UsageError

WriteRows = Callable[[str, list[dict[str, Any]]], Path]


def test_whether_to_flag_is_said_or_follows_from_the_levels(write_rows: WriteRows) -> None:
    path = write_rows(
        "mixed.jsonl",
        [
            {"text": "a", "unsafe": True, "label": "__casual__"},
            {"text": "b", "labels": ["__needs_caution__", "__needs_intervention__"]},
            {"text": "c", "labels": ["__casual__", "__possibly_needs_caution__"]},
            {"text": "d", "label": "__casual__"},
        ],
    )
    found = read_set("mixed", path)
    assert [one.unsafe for one in found.samples] == [True, True, None, False]


def test_a_limit_takes_the_same_rows_each_time_and_keeps_their_numbers(
    write_rows: WriteRows,
) -> None:
    path = write_rows("many.jsonl", [{"text": f"row {n}", "unsafe": n > 9} for n in range(20)])
    few, more = read_set("x", path, 5), read_set("x", path, 9)
    assert [one.number for one in few.samples] == sorted(one.number for one in few.samples)
    assert {one.number for one in few.samples} < {one.number for one in more.samples}
    assert few.rows == 20
    assert all(one.text == f"row {one.number}" for one in few.samples)


@pytest.mark.parametrize(
    ("rows", "words"),
    [([], "is empty"), ([{"text": "hello"}], "has no labels")],
)
def test_a_set_that_says_nothing_is_refused(
    write_rows: WriteRows, rows: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_set("mine", write_rows("set.jsonl", rows))


def test_a_missing_file_and_a_set_without_rules(write_rows: WriteRows, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_set("mine", tmp_path / "none.jsonl")
    path = write_rows("set.jsonl", [{"text": "hello", "unsafe": False}])
    with pytest.raises(DataError, match="no rules"):
        read_set("mine", path, rules=True)


@pytest.mark.parametrize("wrong", ["file.jsonl", "=file.jsonl", "name=", "../x=file", ".x=file"])
def test_a_malformed_pair_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        named_files([wrong], "--set")


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        named_files(["a=x.jsonl", "a=y.jsonl"], "--dev")


def test_packs_are_found_by_name_in_a_data_folder(tmp_path: Path) -> None:
    inside = tmp_path / "guard" / "eval"
    inside.mkdir(parents=True)
    for name in ("hatecheck", "prosocial_test_995"):
        with gzip.open(inside / f"{name}.jsonl.gz", "wt") as file:
            file.write(json.dumps({"text": "hello", "unsafe": False}) + "\n")
    found = pack_files(tmp_path, GUARD_PACKS)
    assert [name for name, _ in found] == ["prosocial_test_995", "hatecheck"]
    assert pack_files(inside, GUARD_PACKS) == found
    assert read_set(*found[0]).samples[0].text == "hello"
    with pytest.raises(UsageError, match="none of the known packs"):
        pack_files(tmp_path / "guard" / "eval" / "x", GUARD_PACKS)


def test_a_file_is_not_for_fitting_and_reporting(write_rows: WriteRows) -> None:
    rows = [{"text": f"row {n}", "label": "__casual__"} for n in range(3)]
    test = read_set("test", write_rows("one.jsonl", rows))
    copy = read_set("dev", write_rows("copy.jsonl", rows))
    with pytest.raises(UsageError, match=r"both as --dev dev and as --set test"):
        refuse_shared([test], [copy])


def test_messages_of_a_test_set_are_left_out_of_dev(write_rows: WriteRows) -> None:
    test = read_set("test", write_rows("t.jsonl", [{"text": "one", "unsafe": True}]))
    rows = [{"text": text, "label": "__casual__"} for text in ("one", "two")]
    kept = without_texts_of(read_set("dev", write_rows("d.jsonl", rows)), [test])
    assert [one.text for one in kept.samples] == ["two"]
