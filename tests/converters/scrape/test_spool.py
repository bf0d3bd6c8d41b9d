"""Output that survives everything: real processes are killed, short of room, two at once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
import zstandard

from converters.errors import DataError
from converters.rows import read_rows
from converters.scrape.formats import format_of
from converters.scrape.posts import Post
from converters.scrape.spool import Format, Spool
from oa_chat.errors import UsageError

_JOB = {"what": "test", "names": ["a", "b"]}


def _post(number: int, **said: object) -> Post:
    row = {
        "id": f"t3_{number}",
        "kind": "submission",
        "subreddit": "Gardening",
        "created": 1_500_000_000 + number,
        "text": f"Number {number} grows.",
    }
    return msgspec.convert(row | said, Post)


def _page(start: int, size: int = 10) -> list[Post]:
    return [_post(number) for number in range(start, start + size)]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_job_from_its_start_to_its_file(tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "out.jsonl"
    spool = Spool(out, _JOB, "jsonl")
    assert (spool.cursor, spool.count, spool.done) == ({}, 0, False)
    spool.append(_page(0), {"after": "t3_9"})
    spool.append(_page(10), {"after": "t3_19"})
    assert (spool.cursor, spool.count) == ({"after": "t3_19"}, 20)
    assert not out.exists()
    assert spool.finish() == out
    assert [row["id"] for _, row in read_rows(out)] == [f"t3_{n}" for n in range(20)]
    assert _names(out.parent) == ["out.jsonl", "out.jsonl.state.json"]
    again = Spool(out, _JOB, "jsonl")
    assert (again.done, again.count, again.cursor) == (True, 20, {})
    assert again.finish() == out
    assert _names(out.parent) == ["out.jsonl", "out.jsonl.state.json"]


def test_doubles_are_dropped_within_a_page_and_after_resuming(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append([*_page(0), _post(3, text="again")], {"n": 1})
        assert spool.count == 10
    with Spool(out, _JOB, "jsonl") as spool:
        assert spool.cursor == {"n": 1}
        spool.append(_page(5), {"n": 2})
        assert spool.count == 15
        spool.finish()
    rows = [row for _, row in read_rows(out)]
    assert [row["id"] for row in rows] == [f"t3_{n}" for n in range(15)]
    assert rows[3]["text"] == "Number 3 grows."


def test_what_the_state_does_not_know_is_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append(_page(0), {"n": 1})
    with (tmp_path / "out.jsonl.part").open("ab") as part:
        part.write(b'{"id":"t3_10","kind":"subm')
    (tmp_path / ".out.jsonl.state.json.4711.part").write_bytes(b"{")
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append(_page(10), {"n": 2})
        spool.finish()
    assert [row["id"] for _, row in read_rows(out)] == [f"t3_{n}" for n in range(20)]
    assert _names(tmp_path) == ["out.jsonl", "out.jsonl.state.json"]


@pytest.mark.parametrize("format", ["jsonl", "jsonl.zst", "parquet"])
def test_every_format_holds_the_same_and_the_same_bytes_each_time(
    tmp_path: Path, format: Format
) -> None:
    comment = _post(7, id="t1_7", kind="comment", over_18=None)
    posts = [
        _post(1, over_18=True, comments=[msgspec.to_builtins(comment)]),
        _post(2, text="Größe “ö”\n\u2028\x00 😀", score=-3),
    ]
    contents = []
    for name in ("a", "b"):
        with Spool(tmp_path / f"{name}.{format}", _JOB, format) as spool:
            spool.append(posts, {})
            out = spool.finish()
        contents.append(out.read_bytes())
        assert [msgspec.convert(row, Post) for _, row in read_rows(out)] == posts
    assert contents[0] == contents[1]


def test_an_empty_job_gives_an_empty_file_of_its_format(tmp_path: Path) -> None:
    for format in ("jsonl", "jsonl.zst", "parquet"):
        with Spool(tmp_path / f"out.{format}", _JOB, format) as spool:
            out = spool.finish()
        assert list(read_rows(out)) == []
    assert set(pq.read_schema(out).names) == set(Post.__struct_fields__)
    packed = (tmp_path / "out.jsonl.zst").read_bytes()
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read() == b""


def test_a_salt_is_for_its_owner_only(tmp_path: Path) -> None:
    out, state = tmp_path / "out.jsonl", tmp_path / "out.jsonl.state.json"
    with Spool(out, _JOB, "jsonl") as spool:
        for number in range(2):
            spool.append(_page(10 * number), {"salt": "00ff"})
            assert state.stat().st_mode & 0o777 == 0o600
        spool.finish()
    assert "00ff" not in state.read_text(encoding="utf-8")
    assert state.stat().st_mode == out.stat().st_mode


def test_what_a_job_could_not_get_is_told_to_later_runs(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append(_page(0), {"n": 1})
        assert spool.problems == []
        spool.finish(["r/a: private", "r/b: banned"])
    with Spool(out, _JOB, "jsonl") as spool:
        assert spool.problems == ["r/a: private", "r/b: banned"]
    out.unlink()
    with Spool(out, _JOB, "jsonl") as spool:
        assert (spool.done, spool.problems) == (False, [])


def test_another_job_is_refused_and_told_apart(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append(_page(0), {"n": 1})
    with pytest.raises(UsageError, match=r'names was \["a","b"\] and is now \["c"\]'):
        Spool(out, _JOB | {"names": ["c"]}, "jsonl")
    with pytest.raises(UsageError, match="names was .* and is now"):
        Spool(out, {"what": "test", "names": ["a"]}, "jsonl")
    with pytest.raises(UsageError, match="format was"):
        Spool(out, _JOB, "parquet")
    with Spool(out, _JOB | {"names": ("a", "b")}, "jsonl") as spool:
        assert spool.count == 10


def test_a_file_of_somebody_else_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        Spool(out, _JOB, "jsonl")
    assert out.read_text(encoding="utf-8") == "mine\n"
    assert _names(tmp_path) == ["out.jsonl"]


def test_a_finished_file_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append(_page(0), {"n": 1})
        spool.finish()
    out.unlink()
    with Spool(out, _JOB, "jsonl") as spool:
        assert (spool.done, spool.count, spool.cursor) == (False, 0, {})


def test_a_changed_work_file_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, _JOB, "jsonl") as spool:
        spool.append(_page(0), {"n": 1})
    os.truncate(tmp_path / "out.jsonl.part", 20)
    with pytest.raises(DataError, match=r"out\.jsonl\.part is shorter"):
        Spool(out, _JOB, "jsonl")
    (tmp_path / "out.jsonl.state.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"out\.jsonl\.state\.json cannot be read"):
        Spool(out, _JOB, "jsonl")


def test_the_ending_names_the_format(tmp_path: Path) -> None:
    assert format_of(tmp_path / "a.JSONL") == "jsonl"
    assert format_of(tmp_path / "a.jsonl.zst") == "jsonl.zst"
    assert format_of(tmp_path / "a.parquet") == "parquet"
    assert format_of(tmp_path / "a.txt", "parquet") == "parquet"
    with pytest.raises(UsageError, match=r"a\.txt names no format"):
        format_of(tmp_path / "a.txt")


# --------------------------------------------------------------------- with other processes

_WRITER = """
import resource, sys
from pathlib import Path
import msgspec
from converters import locking
from converters.scrape.posts import Post
from converters.scrape.spool import Spool
from oa_chat.errors import OaChatError

out, limit, locking._PATIENCE = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with Spool(out, {"what": "test"}, "jsonl") as spool:
        page = spool.cursor.get("page", 0)
        print("from", page, spool.count, flush=True)
        while page < 140:
            posts = [
                Post(id=f"t3_{page}_{n}", kind="submission", subreddit="x", created=n)
                for n in range(20)
            ]
            page += 1
            spool.append(posts, {"page": page})
            print("page", page, flush=True)
        spool.finish()
except OaChatError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def _writer(out: Path, limit: int = 0, patience: float = 30) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(out), str(limit), str(patience)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _expected() -> list[str]:
    return [f"t3_{page}_{n}" for page in range(140) for n in range(20)]


def test_killed_again_and_again_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for round in range(4):
        process = _writer(out)
        assert process.stdout is not None
        for _ in range(20 + 7 * round):
            line = process.stdout.readline()
        assert line.startswith("page")
        time.sleep(0.003 * round)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    output, _ = _writer(out).communicate(timeout=120)
    first = output.splitlines()[0].split()
    assert int(first[1]) >= 19
    assert int(first[2]) == 20 * int(first[1])
    assert [row["id"] for _, row in read_rows(out)] == _expected()


def test_a_full_disk_is_told_and_the_rerun_goes_on(tmp_path: Path) -> None:
    # A limit on the size of files makes the system refuse at the same place as a full disk does.
    out = tmp_path / "out.jsonl"
    process = _writer(out, limit=200_000)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 9
    assert "There is no room left to write" in output
    assert "it goes on where it stopped" in output
    pages = output.count("page ")
    assert 10 < pages < 140
    output, _ = _writer(out).communicate(timeout=120)
    assert output.startswith(f"from {pages} {pages * 20}\n")
    assert [row["id"] for _, row in read_rows(out)] == _expected()


def test_two_at_once_the_second_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Spool(out, {"what": "test"}, "jsonl") as spool:
        spool.append(_page(0), {"page": 1})
        process = _writer(out, patience=0.3)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "Another process is writing" in output
        spool.append(_page(10), {"page": 2})
    with Spool(out, {"what": "test"}, "jsonl") as spool:
        assert spool.count == 20
