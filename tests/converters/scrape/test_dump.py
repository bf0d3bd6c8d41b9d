"""`oa-chat scrape dump` as it is used: on real files, with real processes."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from converters.rows import read_rows
from converters.scrape.posts import Post
from oa_chat.cli import run
from tests.converters.scrape.dump_files import (
    blocks_of,
    broken,
    comment,
    frame,
    line,
    lines,
    submission,
    write,
)


def _run(*said: str | Path) -> int:
    return run(["scrape", "dump", *map(str, said)])


def _rows(out: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(out)]


def _ids(out: Path) -> list[str]:
    return [row["id"] for row in _rows(out)]


def test_files_of_every_packing_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        write(tmp_path, "RS_2019-01.zst", lines(map(submission, range(5)))),
        write(tmp_path, "RS_2019-02.jsonl.gz", lines(map(submission, range(4, 8)))),
        write(tmp_path, "RS_2019-03.jsonl", line(submission(8, subreddit="Cooking"))),
        write(tmp_path, "RC_2019-01.zst", line(comment(1, on=2))),
    ]
    out = tmp_path / "out.jsonl"
    assert _run(*files, "--subreddit", "r/Gardening", "--out", out) == 0
    assert _ids(out) == [f"t3_s{number:04d}" for number in range(8)] + ["t1_c0001"]
    said = capsys.readouterr()
    assert said.out == f"{out}: 9 records.\n"
    assert said.err == "dropped, double: 1\n"
    posts = [msgspec.convert(row, Post) for row in _rows(out)]
    assert [post.source for post in posts[4:6]] == ["RS_2019-01.zst", "RS_2019-02.jsonl.gz"]
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in files}
    assert left == {"out.jsonl", "out.jsonl.state.json"}


def test_a_second_run_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "RS_2019-01.zst", line(submission(1)))
    out = tmp_path / "out.jsonl"
    assert _run(file, "--out", out) == 0
    before = out.stat().st_mtime_ns
    capsys.readouterr()
    assert _run(file, "--out", out) == 0
    assert out.stat().st_mtime_ns == before
    assert "1 records, complete since an earlier run" in capsys.readouterr().out
    assert _run(file, "--out", out, "--min-score", "5") == 2
    assert "belongs to another job: min_score was null and is now 5" in capsys.readouterr().err


def test_drops_are_counted_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        submission(50, selftext="Every night something eats what I planted during the day."),
        submission(51, score=1),
        submission(52, over_18=True),
        submission(53, selftext="[removed]"),
        submission(54, _meta={"was_deleted_later": True}),
        submission(55, created_utc="1514764800"),
        submission(56, created_utc=1577836800.0),
        submission(57, title="Slugs", selftext="in my beds tonight, how many are there"),
        submission(58, title="Wer frisst den Salat? lettuce", selftext="Wer frisst den nur?"),
        submission(59, subreddit="Cooking") | {"crosspost_parent_list": [submission(9)]},
    ]
    file = write(tmp_path, "RS_2019-01.zst", lines(rows))
    out = tmp_path / "out.jsonl"
    options = ["--subreddit", "gardening", "--min-score", "2", "--over-18", "without"]
    options += ["--after", "2019-01-01", "--before", "2020-01-01"]
    options += ["--match", "(?i)lettuce", "--language", "en"]
    assert _run(file, "--out", out, *options) == 0
    counted = {"date": 2, "deleted": 2, "language": 1, "match": 1, "over_18": 1, "score": 1}
    said = capsys.readouterr().err.splitlines()
    assert said == [f"dropped, {reason}: {count}" for reason, count in counted.items()]
    (row,) = _rows(out)
    assert (row["id"], row["lang"]) == ("t3_s0050", "en")


def test_submissions_take_their_best_comments_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = [
        comment(1, on=1, score=5),
        comment(2, on=1, score=9, created_utc=20),
        comment(3, on=1, score=9, created_utc=10),
        comment(4, on=1, score=9, body="[deleted]", author="[deleted]"),
        comment(5, on=2, score=-3, over_18=False),
        comment(6, on=77),
        comment(7, on=1, score=4),
        comment(3, on=1, score=9, created_utc=10),
        comment(8, on=1, score=99, parent_id="t1_c0001"),
        comment(9, on=1, score=99, stickied=True),
        comment(10, on=2, score=-9, parent_id=None),
    ]
    files = [
        write(tmp_path, "RC_2019-01.zst", lines(talk[:4])),
        write(tmp_path, "RS_2019-01.zst", lines(map(submission, range(1, 4)))),
        write(tmp_path, "RC_2019-02.zst", lines(talk[4:])),
    ]
    out = tmp_path / "out.jsonl"
    options = ["--subreddit", "gardening", "--comments", "3", "--min-score", "1"]
    assert _run(*files, "--out", out, *options) == 0
    joined = {row["id"]: [one["id"] for one in row["comments"]] for row in _rows(out)}
    assert joined == {
        "t3_s0001": ["t1_c0003", "t1_c0002", "t1_c0001"],
        "t3_s0002": ["t1_c0005", "t1_c0010"],
        "t3_s0003": [],
    }
    said = capsys.readouterr().err
    assert said == "dropped, answer to a comment: 1\ndropped, deleted: 1\ndropped, pinned: 1\n"


def test_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    files = [
        write(tmp_path, f"RS_2019-0{n}.zst", lines(map(submission, range(n * 50, n * 50 + 80))))
        for n in (3, 1, 2)
    ]
    files.append(write(tmp_path, "RC_2019-01.zst", lines(comment(n, on=99) for n in range(50))))
    outs = []
    for workers in ("1", "3"):
        out = tmp_path / f"out{workers}.parquet"
        assert _run(*files, "--out", out, "--workers", workers, "--comments", "5") == 0
        outs.append(out.read_bytes())
    assert outs[0] == outs[1]
    assert len(_ids(out)) == 180


def test_hashed_authors_share_a_salt_that_is_gone_afterwards(tmp_path: Path) -> None:
    rows = [submission(n, author="ann" if n % 2 else "bob") for n in range(4)]
    file = write(tmp_path, "RS_2019-01.jsonl", lines(rows))
    runs = []
    for name in ("a", "b"):
        out = tmp_path / f"{name}.jsonl"
        assert _run(file, "--out", out, "--hash-authors") == 0
        runs.append([row["author"] for row in _rows(out)])
        assert "salt" not in (tmp_path / f"{name}.jsonl.state.json").read_text(encoding="utf-8")
    first, second = runs
    assert first[0] == first[2] != first[1] == first[3]
    assert not {*first} & {*second}
    assert all(author and author.isalnum() for author in first + second)


# ------------------------------------------------------------------------------- bad input


def test_damage_is_told_with_file_and_byte_and_the_rest_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = frame(lines(map(submission, range(600))))
    at = blocks_of(first)[1][0]
    bad = b'{"id":"x","subreddit":"Gardening","title":"caf\xe9"}\n'
    last = lines(map(submission, range(600, 610)))
    path = tmp_path / "RS_2019-01.zst"
    cut = frame(lines(map(submission, range(700, 1200))))
    path.write_bytes(
        broken(first, at + 9) + frame(last + bad + b"\x1b[2J rubbish\n" + last) + cut[:-9]
    )
    out = tmp_path / "out.jsonl"
    assert _run(path, "--subreddit", "gardening", "--out", out) == 1
    ids = _ids(out)
    assert {f"t3_s{n:04d}" for n in [*range(100), *range(600, 610), *range(700, 800)]} <= {*ids}
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "dropped, double: 10"
    assert said[1].startswith(f"RS_2019-01.zst, byte {at}: a zstd block is broken (")
    assert said[2].startswith("RS_2019-01.zst, byte ")
    assert said[2].endswith(" of the unpacked text: not UTF-8 (byte 0xe9)")
    assert said[3].endswith("no whole line of JSON: '\\x1b[2J rubbish'")
    assert said[4] == f"RS_2019-01.zst, byte {path.stat().st_size}: the file is cut off"


def test_very_many_problems_are_summed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "RS_2019-01.jsonl", b"rubbish\n" * 1000 + line(submission(1)))
    assert _run(path, "--out", tmp_path / "out.jsonl") == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 21
    assert said[-1] == "RS_2019-01.jsonl: 980 more of this kind"
    assert _run(path, "--out", tmp_path / "out.jsonl") == 1
    again = capsys.readouterr()
    assert again.err.splitlines() == said
    assert "1 records, since an earlier run that could not get all. To try again, re" in again.out
    assert _ids(tmp_path / "out.jsonl") == ["t3_s0001"]


def test_empty_sources_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = write(tmp_path, "RS_2019-01.jsonl", b"")
    assert _run(nothing, "--out", tmp_path / "out.jsonl") == 9
    assert f"{nothing} is empty: there is no record in it" in capsys.readouterr().err
    packed = write(tmp_path, "RS_2019-02.zst", b"")
    assert _run(packed, "--out", tmp_path / "out.jsonl") == 1
    assert "RS_2019-02.zst, byte 0 of the unpacked text: the file is empty" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (["RS.txt"], 9, "RS.txt is of no known kind"),
        (["missing.zst"], 2, "does not exist"),
        (["RS.jsonl", "--match", "(("], 2, "--match is no regular expression"),
        (["RS.jsonl", "--format", "csv"], 2, "'csv' is not one of"),
        (["RS.jsonl", "--after", "yesterday"], 2, "'yesterday' is no date"),
        (["RS.jsonl", "--after", "2019-02-01", "--before", "2019-01-31"], 2, "nothing is between"),
        (["RS.jsonl", "--subreddit", "two words"], 2, "'two words' is no name of a subreddit"),
        (["RS.jsonl", "--subreddit", "G\u00e4rten\x1b[2J"], 2, "no name of a subreddit"),
        (["RS.jsonl", "--subreddit", ""], 2, "'' is no name of a subreddit"),
        (["RS.jsonl", "--language", "english"], 2, "'english' is no code of a language"),
        (["."], 2, "'.' is a directory"),
        ([], 2, "Missing argument 'FILES...'"),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RS.txt", "RS.jsonl"):
        write(tmp_path, name, line(submission(1)))
    assert _run(*said, "--out", "out.jsonl") == code
    errors = capsys.readouterr().err
    assert told in errors
    assert "\x1b" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RS.jsonl", "RS.txt"]


@pytest.mark.parametrize("name", ["r/Gardening", "/r/gardening/", "GARDENING", "reddit.com"])
def test_names_as_people_write_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    rows = [submission(1), submission(2, subreddit="reddit.com")]
    file = write(tmp_path, "RS_2005-12.jsonl", lines(rows))
    said = ["--subreddit", name, "--subreddit", name.lower()]
    assert _run(file, *said, "--out", tmp_path / "new" / "out.jsonl") == 0
    assert _ids(tmp_path / "new" / "out.jsonl") == [f"t3_s000{1 + (name == 'reddit.com')}"]
    assert _run(file, "--subreddit", "nowhere", "--out", tmp_path / "none.jsonl") == 0
    assert "Nothing was kept: look at the names" in capsys.readouterr().err


def test_an_expression_that_explodes_in_a_worker_is_told_by_the_parent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bait = submission(2, title="a" * 60 + "!", selftext="")
    files = [
        write(tmp_path, "RS_2019-01.jsonl", line(submission(1))),
        write(tmp_path, "RS_2019-02.jsonl", line(bait)),
    ]
    said = ["--out", tmp_path / "out.jsonl", "--workers", "2", "--match", "^(a+)+$"]
    assert _run(*files, *said) == 2
    assert "--match did not come to an end within 2 s on t3_s0002" in capsys.readouterr().err


# -------------------------------------------------------------------------- real processes


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files, each of which is written out several times before it is done."""
    folder = tmp_path_factory.mktemp("dumps")
    template = line(submission(0)).decode()
    files = []
    for number in range(3):
        rows = (
            template.replace('"s0000"', f'"s{number}{row:06d}"').encode() for row in range(14_000)
        )
        text = b"".join(rows)
        half = len(text) // 2 + 77
        path = folder / f"RS_2019-0{number}.zst"
        path.write_bytes(frame(text[:half], window=27) + frame(text[half:], window=31))
        files.append(path)
    return files


def _start(files: list[Path], out: Path, *said: str, limit: int = 0) -> subprocess.Popen[str]:
    """The command in a process of its own; `limit` is the size that its files may have."""
    command = [sys.executable, "-m", "oa_chat", "scrape", "dump", *map(str, files)]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--subreddit", "gardening", *said],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if limit:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    return process


def _finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and standard error."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def _count(state: Path) -> int:
    try:
        return int(json.loads(state.read_bytes())["count"])
    except FileNotFoundError:
        return 0


def _in_a_file(out: Path) -> bool:
    work = out.with_name("out.jsonl.work")
    return any(_count(state) for state in work.glob("*.state.json"))


def _between_files(out: Path) -> bool:
    return bool([*out.with_name("out.jsonl.work").glob("*.report.json")])


def _merging(out: Path) -> bool:
    return _count(out.with_name("out.jsonl.state.json")) > 0


def _late_in_merging(out: Path) -> bool:
    return _count(out.with_name("out.jsonl.state.json")) > 30_000


_STEPS = (_in_a_file, _between_files, _merging, _late_in_merging, Path.exists)


def _wait(process: subprocess.Popen[str], step: Callable[[Path], bool], out: Path) -> None:
    until = time.monotonic() + 120
    while process.poll() is None and not step(out) and time.monotonic() < until:
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("workers", "steps"),
    # With workers only the steps that they have a part in.
    [("1", _STEPS), ("2", _STEPS[:3])],
)
def test_killed_at_every_step_it_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, large: list[Path], workers: str, steps: Sequence[Callable[[Path], bool]]
) -> None:
    whole = tmp_path / "whole" / "out.jsonl"
    assert _run(*large, "--out", whole, "--subreddit", "gardening", "--workers", "1") == 0
    out = tmp_path / "killed" / "out.jsonl"
    kills = 0
    for step in steps:
        process = _start(large, out, "--workers", workers)
        _wait(process, step, out)
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            kills += 1
            assert psutil.wait_procs(children, timeout=30)[1] == []
        process.communicate()
    assert kills >= len(steps) - 1
    assert _finished(_start(large, out, "--workers", workers)) == (0, "")
    assert len(_ids(out)) == 42_000
    assert out.read_bytes() == whole.read_bytes()
    left = sorted(path.name for path in out.parent.iterdir())
    assert left == ["out.jsonl", "out.jsonl.state.json"]


def test_ctrl_c_ends_with_130_and_leaves_no_process(tmp_path: Path, large: list[Path]) -> None:
    out = tmp_path / "out.jsonl"
    process = _start(large, out, "--workers", "2")
    _wait(process, _in_a_file, out)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    code, errors = _finished(process)
    assert code == 130
    assert "Traceback" not in errors
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert not out.exists()


def test_a_full_disk_is_told_and_the_rerun_goes_on(tmp_path: Path, large: list[Path]) -> None:
    # A limit on the size of files makes the system refuse at the same place as a full disk does.
    out = tmp_path / "out.jsonl"
    code, errors = _finished(_start(large[:2], out, "--workers", "2", limit=9_000_000))
    assert code == 9
    assert "There is no room left to write" in errors
    assert "it goes on where it stopped" in errors
    assert "Traceback" not in errors
    assert _in_a_file(out)
    assert _finished(_start(large[:2], out, "--workers", "2")) == (0, "")
    assert len({*_ids(out)}) == 28_000
