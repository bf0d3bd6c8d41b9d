"""What a preparation writes, and that it is the same however it was made."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from converters.errors import DataError
from converters.prepare.card import escaped
from converters.records import read_records
from tests.converters.prepare.small_data import (
    PLAIN,
    all_records,
    contents,
    post,
    prepare,
    read_lines,
    sentence,
    write_lines,
    write_recipe,
)

MIXED = """
name = "mixed"
title = "A *small* set"
description = "Made by a test."

[[source]]
kind = "posts"
path = "posts*.jsonl"
licence = "CC0-1.0"

[[source]]
kind = "pack"
path = "{data}/labelled.jsonl"

[steps.normalise]
[steps.scrub]
[steps.decontaminate]
files = ["{data}/eval.jsonl"]
[steps.exact]
[steps.near]
[split]
train = 0.6
validation = 0.2
test = 0.2
"""


def mixed(folder: Path, count: int = 300) -> Path:
    """A recipe with posts, labelled records, and everything that a step can do to them."""
    posts = [post(n) for n in range(count)]
    posts.append(post(900, text=f"Write to jane.roe@example.org. {sentence(900)}"))
    posts.append(post(901, title="Story 5", text=f"{sentence(5)}!"))
    posts.append(post(902, title="", text=""))
    write_lines(folder / "posts1.jsonl", posts[: count // 2])
    write_lines(folder / "posts2.jsonl", posts[count // 2 :])
    levels = ["__casual__", "__needs_caution__", "__needs_intervention__"]
    labelled: list[dict[str, Any]] = [
        {
            "text": sentence(2_000 + n),
            "labels": [levels[n % 3]] if n % 4 else levels[:2],
            "rule": "Be fair." if n % 3 else "",
            "source": "letters",
            "licence": "MIT",
            "context": [{"role": "assistant", "content": f"And {n}?"}] if n % 5 == 0 else [],
        }
        for n in range(90)
    ]
    # Nearly a post, but labelled: the labelled one has to stay.
    labelled.append({"text": f"Story 7 {sentence(7)}", "labels": [levels[1]], "source": "letters"})
    labelled.append({"text": sentence(3_000), "labels": [levels[0]], "source": "letters"})
    write_lines(folder / "data" / "labelled.jsonl", labelled)
    write_lines(folder / "data" / "eval.jsonl", [{"text": sentence(3_000)}])
    return write_recipe(folder, MIXED)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    prepare(mixed(folder), data=folder / "data")
    return folder


def test_all_files_are_there_and_nothing_else(made: Path) -> None:
    assert sorted(contents(made / "out")) == sorted(
        [
            *(f"{s}.{e}" for s in ("train", "validation", "test") for e in ("jsonl", "parquet")),
            *("manifest.json", "drops.csv", "README.md", "samples.md", "labels.png"),
        ]
    )


def test_the_records_can_be_read_and_parquet_says_the_same(made: Path) -> None:
    for split in ("train", "validation", "test"):
        rows = read_lines(made / "out" / f"{split}.jsonl")
        assert rows
        assert pq.read_table(made / "out" / f"{split}.parquet").to_pylist() == rows
        records = list(read_records(made / "out" / f"{split}.parquet"))
        assert [record.text for record in records] == [row["text"] for row in rows]
        from_lines = list(read_records(made / "out" / f"{split}.jsonl"))
        assert [one.levels for one in from_lines] == [one.levels for one in records]


def test_drops_are_counted_by_step_and_reason(made: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((made / "out" / "drops.csv").read_text())))
    assert [(row["step"], row["reason"], row["count"]) for row in rows] == [
        ("read", "no text", "1"),
        ("decontaminate", "in eval", "1"),
        ("exact", "duplicate", "2"),
        ("near", "near duplicate", "0"),
    ]


def test_of_equal_records_the_better_labelled_one_stays(made: Path) -> None:
    twins = [row for row in all_records(made / "out") if " 7 times" in row["text"]]
    assert [(row["source"], row["labels"]) for row in twins] == [("letters", ["__needs_caution__"])]


def test_the_manifest_tells_all_and_no_path_or_time(made: Path) -> None:
    text = (made / "out" / "manifest.json").read_text()
    manifest = json.loads(text)
    assert str(made) not in text
    assert manifest["counts"]["read"] == 303 + 92
    assert manifest["counts"]["kept"] == len(all_records(made / "out"))
    assert [entry["name"] for entry in manifest["inputs"]] == [
        "posts1.jsonl",
        "posts2.jsonl",
        "{data}/labelled.jsonl",
        "eval.jsonl",
    ]
    assert manifest["scrubbed"] == {"email": 1}
    assert manifest["recipe"]["split"]["train"] == 0.6
    assert manifest["versions"]["daft"]


def test_the_card_names_sources_licences_and_labels(made: Path) -> None:
    card = (made / "out" / "README.md").read_text()
    assert card.startswith('---\npretty_name: "A *small* set"\nlicense: other\n')
    assert "path: validation.parquet" in card
    assert "| letters | MIT |" in card
    assert "| reddit/gardening | CC0-1.0 |" in card
    assert "| casual or needs caution |" in card
    assert "| email | 1 |" in card
    assert "| decontaminate | in eval | 1 |" in card
    assert (made / "out" / "labels.png").read_bytes().startswith(b"\x89PNG")


def test_samples_are_twenty_records(made: Path) -> None:
    text = (made / "out" / "samples.md").read_text()
    assert text.count("\n## ") == 20
    assert read_lines(made / "out" / "train.jsonl")[0]["text"].split()[-1] in text


def test_samples_cannot_smuggle_markup() -> None:
    assert escaped("<b>*x*</b> [a](b) `c`\n# d\n- e\n1. f \x1b[2J\u202e") == (
        "\\<b\\>\\*x\\*\\</b\\> \\[a\\](b) \\`c\\`\n\\# d\n\\- e\n1\\. f ␛\\[2J"
    )


def test_the_number_of_workers_changes_no_byte(made: Path, tmp_path: Path) -> None:
    recipe = mixed(tmp_path)
    prepare(recipe, data=tmp_path / "data", workers=2)
    assert contents(tmp_path / "out") == contents(made / "out")


def test_the_size_of_slices_and_the_packing_change_no_record(made: Path, tmp_path: Path) -> None:
    import gzip

    import zstandard

    recipe = mixed(tmp_path)
    for name, pack in (("posts1", gzip.compress), ("posts2", zstandard.ZstdCompressor().compress)):
        plain = tmp_path / f"{name}.jsonl"
        ending = "gz" if name == "posts1" else "zst"
        (tmp_path / f"{name}.jsonl.{ending}").write_bytes(pack(plain.read_bytes()))
        plain.unlink()
    write_recipe(tmp_path, MIXED.replace("posts*.jsonl", "posts*"))
    prepare(recipe, data=tmp_path / "data", slice_bytes=5_000)
    for split in ("train", "validation", "test"):
        for ending in ("jsonl", "parquet"):
            name = f"{split}.{ending}"
            assert (tmp_path / "out" / name).read_bytes() == (made / "out" / name).read_bytes()


def test_a_conversation_stays_in_one_split(tmp_path: Path) -> None:
    rows = [post(n, thread=f"t3_{n % 40}") for n in range(400)]
    write_lines(tmp_path / "posts.jsonl", rows)
    text = PLAIN + "[split]\ntrain = 0.5\nvalidation = 0.25\ntest = 0.25\n"
    prepare(write_recipe(tmp_path, text))
    where: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for row in read_lines(tmp_path / "out" / f"{split}.jsonl"):
            where.setdefault(row["thread"], set()).add(split)
    assert len(where) == 40
    assert all(len(splits) == 1 for splits in where.values())


def test_no_near_duplicates_are_left_across_splits(tmp_path: Path) -> None:
    rows = [post(n, title="", text=sentence(n)) for n in range(200)]
    rows += [
        post(1_000 + n, title="", text=f"{sentence(n)} or so", thread=f"x{n}") for n in range(100)
    ]
    write_lines(tmp_path / "posts.jsonl", rows)
    outcome = prepare(write_recipe(tmp_path, PLAIN))
    assert outcome.manifest.drops["near"]["near duplicate"] >= 95
    left = all_records(tmp_path / "out")
    numbers = [int(row["id"].removeprefix("t3_")) % 1_000 for row in left]
    assert len(numbers) - len(set(numbers)) <= 5


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    recipe = mixed(tmp_path, 10)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match="holds files that no preparation wrote, such as thesis"):
        prepare(recipe, data=tmp_path / "data")
    assert list(contents(tmp_path / "out")) == ["thesis.tex"]


def test_nothing_left_says_which_step_took_it(tmp_path: Path) -> None:
    write_lines(tmp_path / "posts.jsonl", [post(n, title="", text=" ") for n in range(3)])
    with pytest.raises(DataError, match="No record is left") as caught:
        prepare(write_recipe(tmp_path, PLAIN))
    assert caught.value.hint == "Most were dropped by read: no text (3)."
