"""`oa-chat prepare` as a user runs it: from a dump file and a pack to a dataset, and mishaps."""

from __future__ import annotations

import gzip
import json
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from converters.errors import DataError, PipelineError, RecipeError
from converters.prepare.reading import LONGEST_LINE
from converters.records import read_records
from tests.converters.prepare.small_data import (
    PLAIN,
    all_records,
    command,
    contents,
    post,
    prepare,
    run_command,
    sentence,
    write_lines,
    write_recipe,
)

DUMP_AND_PACK = """
name = "both"
[[source]]
kind = "posts"
path = "{posts}"
[[source]]
kind = "pack"
path = "{data}/guard/labels.*.jsonl.gz"
[steps.normalise]
[steps.language]
[steps.scrub]
[steps.length]
[steps.decontaminate]
files = ["{data}/guard/eval/*.jsonl.gz"]
[steps.exact]
[steps.near]
[steps.attach]
examples = ["{data}/guard/labels.train.jsonl.gz"]
threshold = 0.5
"""


_RULES = {
    "I want to steal the bicycle of my neighbour": "Taking what is not yours is wrong.",
    "I shout at my mother every single day": "Speak kindly to your parents.",
    "He drives home after ten beers": "Never drive when you are drunk.",
    "She tells lies about a colleague": "Do not spread lies.",
}


def _pack(folder: Path) -> Path:
    levels = ["__casual__", "__needs_caution__"]
    rows: list[dict[str, Any]] = [
        {"text": sentence(n), "labels": [levels[n % 2]], "source": "own", "licence": "CC0-1.0"}
        for n in range(20)
    ]
    for text, rule in _RULES.items():
        rows.append({"text": text, "labels": [levels[1]], "rule": rule, "source": "own"})
    for name, part in (("labels.train", rows[2:]), ("labels.dev", rows[:2])):
        path = folder / "guard" / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, part)).encode()))
    path = folder / "guard" / "eval" / "test.jsonl.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(json.dumps({"text": sentence(5)}).encode()))
    return folder


def _dump(path: Path) -> Path:
    """A month of a dump, with the window that Reddit's dumps have."""
    texts = ["Should I steal the bicycle of a neighbour?", *(sentence(100 + n) for n in range(12))]
    rows = [
        {
            "author": "someone",
            "created_utc": 1_600_000_000 + number,
            "id": f"s{number}",
            "over_18": False,
            "score": 3,
            "selftext": text,
            "subreddit": "Gardening",
            "title": "",
        }
        for number, text in enumerate(texts)
    ]
    level = zstandard.ZstdCompressionParameters.from_level(1, window_log=31, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=level).compressobj()
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(packer.compress(data) + packer.flush())
    return path


def test_from_a_dump_and_a_pack_to_a_dataset_that_can_be_trained_on(tmp_path: Path) -> None:
    dump = _dump(tmp_path / "RS_2020-09.zst")
    scraped = run_command("scrape", "dump", dump, "--out", "posts.jsonl", folder=tmp_path)
    assert scraped.returncode == 0, scraped.stderr
    recipe = write_recipe(tmp_path, DUMP_AND_PACK)
    said = ("prepare", recipe, "paths.posts=posts.jsonl", "--data", _pack(tmp_path / "data"))
    done = run_command(*said, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "kept 36: train" in done.stdout
    assert "decontaminate  in test" in done.stdout
    assert "rows: done in" in done.stderr
    records = [
        record
        for name in ("train", "validation", "test")
        for record in read_records(tmp_path / "both" / f"{name}.parquet")
    ]
    stolen = next(one for one in records if one.text.startswith("Should I steal"))
    assert stolen.row.weak
    assert stolen.rules == ("Taking what is not yours is wrong.",)
    assert stolen.row.labels == ["__needs_caution__"]
    assert stolen.row.score is not None
    assert 0.5 <= stolen.row.score <= 1
    card = (tmp_path / "both" / "README.md").read_text()
    assert "| reddit/Gardening |" in card
    before = contents(tmp_path / "both")
    again = run_command(*said, folder=tmp_path)
    assert again.returncode == 0
    assert again.stdout.startswith("Nothing to do: both is what this recipe makes")
    assert contents(tmp_path / "both") == before


def test_a_dump_and_a_pack_become_a_dataset_in_one_command(tmp_path: Path) -> None:
    _dump(tmp_path / "RS_2020-09.zst")
    scraped = run_command("scrape", "dump", "RS_2020-09.zst", "--out", "p.jsonl", folder=tmp_path)
    assert scraped.returncode == 0, scraped.stderr
    by_posts = write_recipe(tmp_path, DUMP_AND_PACK.replace("{posts}", "p.jsonl"), "posts.toml")
    dump = 'kind = "dump"\nsubreddits = ["r/GARDENING"]'
    text = DUMP_AND_PACK.replace('kind = "posts"', dump).replace("{posts}", "RS_*.zst")
    by_dump = write_recipe(tmp_path, text, "dump.toml")
    data = _pack(tmp_path / "data")
    for recipe, out in ((by_posts, "two"), (by_dump, "one")):
        done = run_command("prepare", recipe, "--data", data, "--out", out, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    for name in ("train", "validation", "test"):
        one, two = (tmp_path / out / f"{name}.jsonl" for out in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    write_lines(tmp_path / "posts.jsonl", [post(n) for n in range(7)])
    recipe = write_recipe(tmp_path, PLAIN)
    done = run_command("prepare", recipe, "--dry-run", folder=tmp_path)
    assert done.returncode == 0
    assert "7  posts      posts.jsonl" in done.stdout
    assert "Steps: normalise, exact, near" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posts.jsonl", "recipe.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("[steps.near]", "[steps.nera]"), "Did you mean near?"),
        (PLAIN.replace("posts.jsonl", "gone.jsonl"), "there is no file gone.jsonl"),
        (PLAIN.replace("posts.jsonl", "{data}/x"), "--data FOLDER"),
        (PLAIN.replace("posts.jsonl", "{mine}/x"), "paths.mine=FILE"),
        (PLAIN.replace("posts.jsonl", "recipe.toml"), "is of no known kind"),
        (PLAIN.replace('"posts"', '"table"\nname = "x"\ncolumns = {text = "txet"}'), "mean text?"),
    ],
)
def test_a_recipe_that_cannot_be_followed_ends_with_9(
    tmp_path: Path, text: str, message: str
) -> None:
    write_lines(tmp_path / "posts.jsonl", [post(1)])
    with pytest.raises((RecipeError, DataError)) as caught:
        prepare(write_recipe(tmp_path, text))
    assert message in str(caught.value)
    assert caught.value.exit_code == 9
    assert not (tmp_path / "out").exists()


def _bad_rows(path: Path) -> Path:
    """Good rows, and one of every kind that cannot be read."""
    good = [json.dumps(post(n)).encode() for n in range(6)]
    latin = json.dumps(post(90, text="caf@")).encode().replace(b"@", b"\xe9")
    huge = b'{"id": "t3_huge", "text": "' + b"x" * (LONGEST_LINE + 2**20) + b'"}'
    path.write_bytes(
        b"\n".join(
            [
                *good[:3],
                latin,
                huge,
                b"[1, 2]",
                b'{"id": "t3_91", "text": 5}',
                b"",
                b'{"id": "t3_92", "title": null, "text": "nulls are nothing strange"}',
                *good[3:],
                b'{"id": "t3_93", "te',
            ]
        )
    )
    return path


def test_rows_that_cannot_be_read_are_counted_with_their_places(tmp_path: Path) -> None:
    _bad_rows(tmp_path / "posts.jsonl")
    outcome = prepare(write_recipe(tmp_path, PLAIN))
    manifest = outcome.manifest
    assert manifest.drops["read"] == {"unreadable": 5}
    assert manifest.counts["kept"] == 7
    lines = [place.split(":")[0] for place in manifest.unreadable]
    assert lines == [f"posts.jsonl, line {n}" for n in (4, 5, 6, 7, 13)]
    assert f"longer than {LONGEST_LINE} bytes" in manifest.unreadable[1]
    assert "nulls are nothing strange" in {row["text"] for row in all_records(outcome.folder)}


def test_a_recipe_can_ask_to_stop_at_the_first_bad_row(tmp_path: Path) -> None:
    _bad_rows(tmp_path / "posts.jsonl")
    with pytest.raises(DataError, match=r"posts\.jsonl, line 4: no JSON object") as caught:
        prepare(write_recipe(tmp_path, PLAIN), "bad_rows=fail")
    assert 'bad_rows = "drop"' in caught.value.hint


def test_bad_rows_of_a_csv_file_are_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_bytes(b'text\ngood one\n"two\nlines"\ncaf\xe9\na,b\nlast one\n')
    text = PLAIN.replace("posts.jsonl", "posts.csv").replace(
        '"posts"', '"table"\nname = "x"\ncolumns = {text = "text"}'
    )
    manifest = prepare(write_recipe(tmp_path, text)).manifest
    assert manifest.counts["kept"] == 3
    assert manifest.unreadable == [
        "posts.csv, line 5: not UTF-8",
        "posts.csv, line 6: not as many cells as the header has",
    ]


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_packed_file_that_was_cut_short(tmp_path: Path, form: str) -> None:
    chance = random.Random(3)
    rows = [post(n, note=chance.randbytes(200).hex()) for n in range(2_000)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    packed = gzip.compress(data) if form == "gz" else zstandard.ZstdCompressor().compress(data)
    (tmp_path / f"posts.jsonl.{form}").write_bytes(packed[: len(packed) // 2])
    recipe = write_recipe(tmp_path, PLAIN.replace("posts.jsonl", f"posts.jsonl.{form}"))
    with pytest.raises(DataError, match=rf"posts\.jsonl\.{form}, after line \d\d\d+: .*"):
        prepare(recipe, "bad_rows=fail")
    manifest = prepare(recipe).manifest
    assert manifest.drops["read"]["file ends early"] == 1
    assert 700 < manifest.counts["read"] < 1_300


def test_a_full_disk_is_told_and_a_rerun_goes_on(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: writing fails in the same place."""
    rows = [
        post(n, text=f"{sentence(n)} {random.Random(n).randbytes(90).hex()}") for n in range(900)
    ]
    write_lines(tmp_path / "posts.jsonl", rows)
    recipe = write_recipe(tmp_path, PLAIN)
    said = command("prepare", recipe, "--workers", "1", "--out", tmp_path / "out")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    root = str(Path(__file__).resolve().parents[3])
    code = "import signal, os, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += f"sys.path.insert(0, {root!r}); sys.argv = ['oa-chat', *sys.argv[1:]]; "
    code += "from oa_chat.cli import run; sys.exit(run(sys.argv[1:]))"
    full = subprocess.run(
        [sys.executable, "-c", code, *said[3:]],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert full.returncode == 9, full.stderr
    assert "File too large" in full.stderr
    assert "run the same command again" in full.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert prepare(recipe).manifest.counts["kept"] == 900


def test_a_worker_that_dies_is_told_of(tmp_path: Path) -> None:
    from converters.prepare.engine import start_engine

    engine = start_engine("local", 2)
    with pytest.raises(PipelineError, match="The engine stopped") as caught:
        list(engine.run(_Dies(), ["1", "2", "3"]))
    assert "Run the same command again" in caught.value.hint


class _Dies:
    def __call__(self, task: str) -> str:
        import os

        if task == "2":
            os._exit(1)
        return task


def test_errors_of_workers_arrive_as_they_were() -> None:
    from converters.prepare.engine import start_engine

    engine = start_engine("local", 2)
    with pytest.raises(DataError) as caught:
        list(engine.run(_Complains(), ["1", "2"]))
    assert (caught.value.message, caught.value.hint) == ("row 2 is odd", "mend it")


class _Complains:
    def __call__(self, task: str) -> str:
        if task == "2":
            raise DataError("row 2 is odd", "mend it")
        return task


def test_help_and_usage(tmp_path: Path) -> None:
    done: Any = run_command("prepare", "--help")
    assert done.returncode == 0
    assert "guard, reddit, multilingual" in " ".join(done.stdout.split())
    wrong = run_command("prepare", "gaurd", folder=tmp_path)
    assert wrong.returncode == 9
    assert "Did you mean guard?" in wrong.stderr
