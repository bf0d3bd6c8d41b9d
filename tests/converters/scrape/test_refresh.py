"""`oa-chat scrape refresh`: what is gone on Reddit goes from the file, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from converters.scrape.posts import Post, line_of
from converters.scrape.things import post_of
from tests.converters.scrape.reddit_server import (
    FakeReddit,
    comment,
    submission,
    write_praw_ini,
)
from tests.converters.scrape.running import ids, killed_when, rows, scrape
from tests.converters.scrape.web_server import Drop, Reply

OURS = ("--i-have-permission", "--site", "ours")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReddit]:
    monkeypatch.setenv("PRAW_ALLOW_ENDPOINT_OVERRIDE", "1")
    with FakeReddit() as server:
        posts = [submission(n) for n in range(130)]
        server.subreddits["gardening"] = posts
        server.comments = {
            post["id"]: [comment(number * 10 + n, post) for n in range(2)]
            for number, post in enumerate(posts)
        }
        write_praw_ini(server)
        yield server


def _posts(server: FakeReddit) -> list[Post]:
    """The server's submissions with their comments, and ten comments as records."""
    made = []
    for thing in server.subreddits["gardening"]:
        inside = [post_of(row, str, "reddit") for row in server.comments[thing["id"]]]
        made.append(post_of(thing, lambda _: "", "reddit", comments=[c for c in inside if c]))
    lone = [
        post_of(comment(9000 + n, server.subreddits["gardening"][n]), lambda _: "", "reddit")
        for n in range(10)
    ]
    server.comments["lone"] = [
        comment(9000 + n, server.subreddits["gardening"][n]) for n in range(10)
    ]
    return [post for post in (*made, *lone) if post]


@pytest.fixture
def file(server: FakeReddit, tmp_path: Path) -> Path:
    path = tmp_path / "posts.jsonl"
    path.write_bytes(b"".join(map(line_of, _posts(server))))
    return path


def _delete_some(server: FakeReddit) -> None:
    posts = server.subreddits["gardening"]
    posts[3] |= {"selftext": "[deleted]", "author": "[deleted]", "removed_by_category": "deleted"}
    posts[5] |= {"selftext": "[removed]", "removed_by_category": "moderator"}
    del posts[7]
    server.comments["s0"][1] |= {"body": "[deleted]", "author": "[deleted]"}
    server.comments["lone"][4] |= {"body": "[removed]", "author": "[deleted]"}


def refresh(file: Path, *arguments: object) -> int:
    return scrape("refresh", file, *OURS, *arguments)


def test_nothing_is_gone(
    server: FakeReddit, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_bytes()
    assert refresh(file) == 0
    assert file.read_bytes() == before
    assert "140 records with 260 comments stay" in capsys.readouterr().out
    assert [len(asked.params["id"].split(",")) for asked in server.api()] == [100, 100, 100, 100]
    assert [path.name for path in file.parent.iterdir()] == ["posts.jsonl"]


def test_what_is_gone_is_taken_out_and_reported(
    server: FakeReddit, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    _delete_some(server)
    assert refresh(file) == 0
    expected = [line for n, line in enumerate(lines) if n not in (3, 5, 7, 134)]
    first = json.loads(lines[0])
    del first["comments"][1]
    assert file.read_bytes() == b"".join([msgspec.json.encode(first) + b"\n", *expected[1:]])
    # The comment on a removed submission that has a record of its own is judged by itself.
    assert "t1_c9005" in ids(file)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Taken out: 1 comment deleted by the author.",
        "Taken out: 1 record deleted by the author.",
        "Taken out: 1 record not known to Reddit.",
        "Taken out: 2 records removed by others.",
    ]
    assert refresh(file) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("ending", ["jsonl.zst", "parquet"])
def test_other_formats_stay_what_they_are(server: FakeReddit, file: Path, ending: str) -> None:
    from converters.scrape.formats import write_as

    packed = file.with_name(f"packed.{ending}")
    with file.open("rb") as stream:
        write_as(stream, packed, ending)  # type: ignore[arg-type]
    _delete_some(server)
    assert refresh(file) == 0
    assert refresh(packed) == 0
    assert [row["id"] for row in rows(packed)] == ids(file)
    assert len(rows(packed)[0]["comments"]) == 1


def test_columns_of_others_stay(server: FakeReddit, tmp_path: Path) -> None:
    posts = _posts(server)
    table = pa.table(
        {"id": [post.id for post in posts[:20]], "mine": pa.array(range(20), pa.int8())}
    )
    pq.write_table(table, tmp_path / "mine.parquet")
    _delete_some(server)
    assert refresh(tmp_path / "mine.parquet") == 0
    kept = pq.read_table(tmp_path / "mine.parquet")
    assert kept.schema.equals(table.schema)
    assert kept["mine"].to_pylist() == [n for n in range(20) if n not in (3, 5, 7)]


def test_an_unreachable_server_leaves_the_file_alone_and_a_rerun_goes_on(
    server: FakeReddit, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _delete_some(server)
    before = file.read_bytes()
    server.faults.extend([None, None, Drop()])
    assert refresh(file, "--tries", 1) == 9
    assert file.read_bytes() == before
    asked = len(server.api())
    assert refresh(file) == 0
    assert len(server.api()) == asked + 2
    assert len(ids(file)) == 136
    assert "Going on: 200" in capsys.readouterr().err


def test_a_file_that_changed_is_asked_for_from_the_start(server: FakeReddit, file: Path) -> None:
    server.faults.extend([None, Drop()])
    assert refresh(file, "--tries", 1) == 9
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))
    asked = len(server.api())
    assert refresh(file) == 0
    assert len(server.api()) == asked + 4


def test_killed_anywhere_the_file_is_whole_and_the_end_the_same(
    server: FakeReddit, file: Path
) -> None:
    calm = file.with_name("calm.jsonl")
    before = file.read_bytes()
    calm.write_bytes(before)
    _delete_some(server)
    assert refresh(calm) == 0
    for requests in (1, 2):
        goal = len(server.asked) + requests + 1  # one is for the token
        killed_when(lambda goal=goal: len(server.asked) >= goal, "refresh", file, *OURS)
        assert file.read_bytes() in (before, calm.read_bytes())
    assert refresh(file) == 0
    assert file.read_bytes() == calm.read_bytes()


def test_half_a_line_in_the_log_is_no_answer(server: FakeReddit, file: Path) -> None:
    _delete_some(server)
    server.faults.extend([None, None, Drop()])
    assert refresh(file, "--tries", 1) == 9
    log = file.with_name("posts.jsonl.refresh")
    log.write_bytes(log.read_bytes()[:-5])
    asked = len(server.api())
    assert refresh(file) == 0
    assert len(server.api()) == asked + 3
    assert len(ids(file)) == 136


def test_an_app_that_sees_nothing_does_not_empty_the_file(
    server: FakeReddit, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_bytes()
    server.subreddits.clear()
    server.comments.clear()
    assert refresh(file) == 9
    assert file.read_bytes() == before
    assert "--accept-unknown" in capsys.readouterr().err
    assert refresh(file, "--accept-unknown") == 0
    assert file.read_bytes() == b""


def test_refusals(
    server: FakeReddit, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scrape("refresh", file) == 2
    assert scrape("refresh", tmp_path / "none.jsonl", *OURS) == 2
    (tmp_path / "a.csv").write_text("id\nt3_1\n")
    assert refresh(tmp_path / "a.csv") == 2
    capsys.readouterr()
    (tmp_path / "a.jsonl").write_text('{"id":"t3_1"}\n{"id":"7"}\n')
    assert refresh(tmp_path / "a.jsonl") == 9
    assert "record 2: an id is no fullname" in capsys.readouterr().err
    server.faults.append(Reply(403, {"error": 403}))
    assert refresh(file) == 9
    assert "single posts" in capsys.readouterr().err
