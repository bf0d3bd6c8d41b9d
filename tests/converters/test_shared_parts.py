"""What all commands of the pipeline share: rows, records, recipes, atomic files."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import msgspec
import pytest
import zstandard

from converters.errors import DataError, RecipeError
from converters.extras import require
from converters.provenance import replacing, sha256_of
from converters.recipe import load_recipe
from converters.records import RecordRow, read_records, record_of
from converters.rows import read_rows
from oa_chat.conversation import Message
from oa_chat.errors import UsageError
from oa_chat.verdict import Severity

ROWS = [{"text": "My neighbour's goat sings.", "n": 1}, {"text": "Grüße an «Zoë» 🐐", "n": 2}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def written(folder: Path, name: str) -> Path:
    """The rows in a file of the kind that its ending says."""
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(LINES))
    elif name.endswith(".zst"):
        path.write_bytes(zstandard.compress(LINES[:20]) + zstandard.compress(LINES[20:]))
    elif name.endswith(".json"):
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif name.endswith((".csv", ".tsv")):
        mark = "\t" if name.endswith(".tsv") else ","
        table = "".join(f"{row['text']}{mark}{row['n']}\r\n" for row in ROWS)
        path.write_text(f"text{mark}n\r\n{table}", encoding="utf-8-sig")
    elif name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_bytes(LINES)
    return path


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.ndjson", "a.JSONL", "a.jsonl.gz", "a.jsonl.zst", "a.json", "a.parquet"],
)
def test_the_same_rows_come_out_of_every_form(name: str, tmp_path: Path) -> None:
    assert [row for _, row in read_rows(written(tmp_path, name))] == ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_tables_give_text(name: str, tmp_path: Path) -> None:
    rows = list(read_rows(written(tmp_path, name)))
    assert rows == [(2, {**ROWS[0], "n": "1"}), (3, {**ROWS[1], "n": "2"})]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b'{"text": "x"}\n\n[1]\n', "line 3"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xff"}\n', "line 2"),
        ("a.jsonl.gz", gzip.compress(LINES)[:-9], "byte "),
        ("a.jsonl.zst", b"no zstd at all", "byte 0"),
        ("a.jsonl.zst", zstandard.compress(LINES)[:-5], "byte "),
        ("a.csv", b"text,n\nx,1,2\n", "line 2"),
        ("a.csv", b"text,n\nx\n", "line 2"),
        ("a.csv", b"text\n\xff\n", "cannot be read"),
        ("a.json", b'{"text": "x"}', "no JSON array"),
        ("a.parquet", b"PAR1 and nothing else", "no Parquet file"),
        ("a.txt", b"x", "no known kind"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        list(read_rows(path))
    assert str(path) in caught.value.message


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.rows._LONGEST_LINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 2000)
    with pytest.raises(DataError, match="line 1: longer than"):
        list(read_rows(path))


def test_a_record_is_checked_whole() -> None:
    row = {
        "text": "And then?",
        "context": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "label": "__needs_caution__",
        "rule": "It's good to wait.",
        "rules": ["It's kind to ask.", " "],
        "unsafe": None,
        "something": "else",
    }
    record = record_of(row, "here")
    assert record.messages == (
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "And then?"),
    )
    assert record.text == "And then?"
    assert record.levels == {Severity.CAUTION}
    assert record.rules == ("It's good to wait.", "It's kind to ask.")
    assert record.row.weight == 1.0


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "text"),
        ({"text": 1}, "text"),
        ({"text": "x", "labels": ["__fine__"]}, "'__fine__' is no level"),
        ({"text": "x", "context": [{"role": "system", "content": "y"}]}, "system"),
        ({"text": "x", "weight": "much"}, "weight"),
    ],
)
def test_a_wrong_record_is_named_by_file_and_line(
    row: dict[str, object], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"text": "fine"}\n' + json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(told)) as caught:
        list(read_records(path))
    assert f"{path}, line 2" in caught.value.message


def test_cells_of_a_table_are_read_as_what_they_mean(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label,unsafe,weight\nhello,__casual__,false,0.5\nbye,,true,\n")
    fine, bad = read_records(path)
    assert (fine.row.unsafe, fine.row.weight, len(fine.levels)) == (False, 0.5, 1)
    assert (bad.row.unsafe, bad.row.weight, len(bad.levels)) == (True, 1.0, 0)


def test_the_pipeline_page_has_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text(encoding="utf-8")
    section = page.split("## The record")[1].split("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(named) == sorted(RecordRow.__struct_fields__)


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    speed: float = 1.0
    words: list[str] = []


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    inner: Inner = Inner()
    source: list[Inner] = []


RECIPE = 'name = "mine"\n\n[inner]\nspeed = 2.0\n\n[[source]]\nspeed = 3.0\n'


def recipe(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides_go_before_the_recipe(tmp_path: Path) -> None:
    overrides = ["inner.speed=0.5", 'inner.words=["a", "b"]', "name = some words"]
    read = load_recipe(recipe(tmp_path), Outer, overrides)
    assert read == Outer("some words", Inner(0.5, ["a", "b"]), [Inner(3.0)])


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        (RECIPE.replace("speed = 2.0", "sped = 2.0"), [], ["line 4", "inner.sped", "inner.speed"]),
        (RECIPE.replace("speed = 3.0", "sped = 3.0"), [], ["source.sped", "source.speed"]),
        (RECIPE.replace("2.0", '"fast"'), [], ["line 4", "inner.speed"]),
        (RECIPE + "[", [], ["not valid TOML"]),
        (RECIPE, ["inner.sped=1"], ["the command line", "inner.sped", "inner.speed"]),
        (RECIPE, ["inner.speed=fast"], ["inner.speed=fast", "inner.speed"]),
        (RECIPE, ["inner.speed"], ["'inner.speed' is not of the form key=value"]),
        (RECIPE, ["name.x=1"], ["name is no table"]),
    ],
)
def test_a_wrong_recipe_is_named_by_line_and_nearest_key(
    text: str, overrides: list[str], told: list[str], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe(tmp_path, text), Outer, overrides)
    assert all(words in str(caught.value) for words in told)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone\.toml cannot be read"):
        load_recipe(tmp_path / "gone.toml", Outer)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.bin"
    with replacing(path) as part:
        part.write_bytes(b"first")
        assert not path.exists()
    with pytest.raises(FileNotFoundError), replacing(path) as part:
        part.with_name("no").rename(path)
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]
    assert sha256_of(path) == "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"


def test_a_missing_package_is_named_with_its_extra() -> None:
    require("data", "json")
    with pytest.raises(UsageError, match="no_such_package") as caught:
        require("data", "json", "no_such_package")
    assert "oa-chat[data]" in caught.value.hint
