"""`oa-chat scrape arctic` against a server that searches as the archive does."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.converters.scrape.arctic_server import FakeArctic
from tests.converters.scrape.reddit_server import comment, submission
from tests.converters.scrape.running import ids, killed_when, rows, scrape
from tests.converters.scrape.web_server import Drop, Reply

_START = 1_600_000_000


@pytest.fixture(params=[False, True], ids=["later than", "from"])
def server(request: pytest.FixtureRequest) -> Iterator[FakeArctic]:
    with FakeArctic(inclusive=request.param) as server:
        yield server


@pytest.fixture
def plain() -> Iterator[FakeArctic]:
    with FakeArctic() as server:
        yield server


def arguments(server: FakeArctic, out: Path, *more: object) -> tuple[object, ...]:
    base = ("--base-url", server.url, "--pace", 0)
    return ("arctic", "--subreddit", "gardening", "--out", out, *base, *more)


def arctic(server: FakeArctic, out: Path, *more: object) -> int:
    return scrape(*arguments(server, out, *more))


def _created(*counts: int) -> list[int]:
    """Seconds: so many things in the first second, so many in the next, ..."""
    return [_START + second for second, count in enumerate(counts) for _ in range(count)]


@pytest.mark.parametrize(
    "counts",
    [
        (1,) * 250,
        (99, 2, 98, 3, 97),
        (50, 60, 60, 60, 3),
        (100,),
        (100, 100, 1),
        (3, 180, 4, 0, 90, 20),
        (150, 0, 250, 120),
    ],
)
def test_equal_seconds_at_the_border_of_pages(
    server: FakeArctic, tmp_path: Path, counts: tuple[int, ...]
) -> None:
    created = _created(*counts)
    server.posts = [submission(n, created_utc=second) for n, second in enumerate(created)]
    assert arctic(server, tmp_path / "o.jsonl") == 0
    found = ids(tmp_path / "o.jsonl")
    assert found == [f"t3_s{n}" for n in range(len(created))]


def test_a_second_that_is_too_full_is_told(
    server: FakeArctic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    created = _created(2, 500, 5)
    server.posts = [submission(n, created_utc=second) for n, second in enumerate(created)]
    assert arctic(server, tmp_path / "o.jsonl") == 1
    assert f"Second {_START + 1} holds more" in capsys.readouterr().err
    found = ids(tmp_path / "o.jsonl")
    assert len(found) == len(set(found))
    assert len(found) in (405, 407)  # limit=auto shows what comes before the second, or does not
    assert {f"t3_s{n}" for n in (0, 1, 502, 503, 504, 505, 506)} <= set(found)


def test_what_was_deleted_later_is_left_out(
    plain: FakeArctic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain.posts = [submission(n) for n in range(8)]
    plain.posts[1]["_meta"] = {"was_deleted_later": True}
    plain.posts[2]["_meta"] = {"removal_type": "moderator"}
    plain.posts[3]["_meta"] = {"removal_type": None, "was_deleted_later": False}
    plain.posts[4]["_meta"] = {"removal_type": 5}
    plain.posts[5]["selftext"] = "[deleted]"
    plain.posts[6]["selftext"] = "Less &lt; more &amp;amp; so on"
    plain.posts[7] |= {"_meta": "odd", "name": None}
    assert arctic(plain, tmp_path / "o.jsonl") == 0
    assert ids(tmp_path / "o.jsonl") == ["t3_s0", "t3_s3", "t3_s6", "t3_s7"]
    found = rows(tmp_path / "o.jsonl")
    assert found[2]["text"] == "Less < more &amp; so on"
    assert {row["source"] for row in found} == {"arctic"}
    assert {row["author"] for row in found} == {""}
    assert "4 records; 4 were deleted" in capsys.readouterr().out


def test_dates_kinds_limits_and_top_comments(plain: FakeArctic, tmp_path: Path) -> None:
    day = 86_400
    plain.posts = [submission(n, created_utc=1_704_067_200 + n * day) for n in range(10)]
    plain.comments = [comment(n, plain.posts[2], created_utc=1_704_153_600 + n) for n in range(12)]
    plain.comments[6]["parent_id"] = "t1_c1"
    dates = ("--after", "2024-01-02", "--before", "2024-01-05T00:00:00")
    assert arctic(plain, tmp_path / "a.jsonl", *dates, "--comments", 2) == 0
    found = rows(tmp_path / "a.jsonl")
    assert [row["id"] for row in found] == ["t3_s1", "t3_s2", "t3_s3"]
    assert [row["id"] for row in found[1]["comments"]] == ["t1_c5", "t1_c4"]
    assert found[0]["comments"] == []
    both = ("--kind", "comments", "--kind", "submissions", "--limit", 4, "--hash-authors")
    assert arctic(plain, tmp_path / "b.parquet", *both) == 0
    mixed = rows(tmp_path / "b.parquet")
    assert [row["kind"] for row in mixed] == ["comment"] * 4 + ["submission"] * 4
    assert mixed[0]["thread"] == "t3_s2"
    assert len({row["author"] for row in mixed[:4]}) == 3
    assert arctic(plain, tmp_path / "c.jsonl", "--after", "yesterday") == 2


def test_refusals_and_failures(
    plain: FakeArctic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain.posts = [submission(n) for n in range(150)]
    out = tmp_path / "o.jsonl"
    plain.faults.append(Reply(400, {"data": None, "error": "no\x1b[2Jsuch field"}))
    assert arctic(plain, out) == 9
    said = capsys.readouterr().err
    assert "status 400" in said
    assert "\x1b" not in said
    overload = Reply(422, {"data": None, "error": "Timeout. Maybe slow down a bit"})
    plain.faults.extend([None, overload, None, Drop(), Reply(503, b"")])
    assert arctic(plain, out, "--tries", 2) == 9
    assert "it was tried 2 times" in capsys.readouterr().err
    assert arctic(plain, out, "--tries", 2) == 0
    assert ids(out) == [f"t3_s{n}" for n in range(150)]
    asked = len(plain.asked)
    assert arctic(plain, out, "--tries", 2) == 0
    assert len(plain.asked) == asked
    assert arctic(plain, tmp_path / "p.jsonl", "--base-url", "file:///etc") == 2


def test_subreddits_that_the_archive_does_not_know(
    plain: FakeArctic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arctic(plain, tmp_path / "o.jsonl") == 9
    assert "nothing of this: gardening" in capsys.readouterr().err
    plain.posts = [submission(n) for n in range(3)]
    assert arctic(plain, tmp_path / "o.jsonl", "--subreddit", "never_was") == 1
    assert "posts of r/never_was" in capsys.readouterr().err
    assert len(ids(tmp_path / "o.jsonl")) == 3


def test_an_archive_that_does_not_heed_the_time_ends_too(plain: FakeArctic, tmp_path: Path) -> None:
    plain.posts = [submission(n) for n in range(150)]
    plain.heeds_after = False
    assert arctic(plain, tmp_path / "o.jsonl") in (0, 1)
    assert len(plain.asked) < 10
    assert len(ids(tmp_path / "o.jsonl")) == 150  # by limit=auto


def test_the_pace_is_kept(plain: FakeArctic, tmp_path: Path) -> None:
    plain.posts = [submission(n) for n in range(3)]
    start = time.monotonic()
    assert arctic(plain, tmp_path / "o.jsonl", "--pace", 0.4) == 0
    assert len(plain.asked) == 2
    assert time.monotonic() - start >= 0.4


def test_killed_at_any_point_nothing_is_lost_or_doubled(server: FakeArctic, tmp_path: Path) -> None:
    created = _created(*([3] * 400))
    server.posts = [submission(n, created_utc=second) for n, second in enumerate(created)]
    calm = tmp_path / "calm.jsonl.zst"
    assert arctic(server, calm) == 0
    out = tmp_path / "o.jsonl.zst"
    chance = random.Random(3)
    for _ in range(3):
        goal = len(server.asked) + chance.randint(1, 5)
        killed_when(
            lambda goal=goal: len(server.asked) >= goal,
            *arguments(server, out, "--pace", "0.02"),
        )
    assert arctic(server, out) == 0
    assert out.read_bytes() == calm.read_bytes()
