"""`oa-chat scrape reddit`: the real PRAW and the real program against a server like Reddit."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.converters.scrape.reddit_server import (
    CLIENT_ID,
    SECRET,
    FakeReddit,
    comment,
    submission,
    write_praw_ini,
)
from tests.converters.scrape.running import PROGRAM, ROOT, ids, killed_when, process, rows, scrape
from tests.converters.scrape.web_server import Drop, Reply, Stall

OURS = ("--i-have-permission", "--site", "ours")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReddit]:
    monkeypatch.setenv("PRAW_ALLOW_ENDPOINT_OVERRIDE", "1")
    with FakeReddit() as server:
        server.subreddits["gardening"] = [submission(n) for n in range(250)]
        write_praw_ini(server)
        yield server


def reddit(out: Path, *arguments: object, subreddit: str = "gardening") -> int:
    return scrape("reddit", "--subreddit", subreddit, "--out", out, *OURS, *arguments)


def test_without_permission_the_terms_are_told_in_two_lines(
    server: FakeReddit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scrape("reddit", "--subreddit", "gardening", "--out", tmp_path / "o.jsonl") == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert "approval" in said
    assert "--i-have-permission" in said
    assert server.asked == []


def test_all_pages_without_authors_and_without_what_is_deleted(
    server: FakeReddit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posts = server.subreddits["gardening"]
    posts[3] |= {"selftext": "[removed]"}
    posts[120] |= {"selftext": "[deleted]", "author": None}
    posts[249] |= {"removed_by_category": "moderator"}
    out = tmp_path / "o.jsonl"
    assert reddit(out, "--listing", "new") == 0
    assert ids(out) == [f"t3_s{n}" for n in range(249) if n not in (3, 120)]
    assert [asked.params.get("after") for asked in server.api()] == [None, "t3_s99", "t3_s199"]
    assert {asked.path for asked in server.api()} == {"/r/gardening/new"}
    assert rows(out)[6] == {
        "id": "t3_s7", "kind": "submission", "subreddit": "gardening",
        "created": 1_600_000_007, "title": "Question 7 about tomatoes & beans",
        "text": "How do I water plant 7?\n\nIt has <3 leaves.", "score": 7, "over_18": False,
        "lang": "", "thread": "t3_s7", "parent": "", "author": "", "comments": [],
        "source": "reddit",
    }  # fmt: skip
    assert "247 submissions; 3 were deleted or removed" in capsys.readouterr().out
    assert b"gardener" not in out.read_bytes()


def test_top_comments_best_first(server: FakeReddit, tmp_path: Path) -> None:
    first = server.subreddits["gardening"][0]
    server.comments["s0"] = [
        *(comment(n, first) for n in range(7)),
        comment(50, first, score=99, body="[deleted]", author=None),
        comment(51, first, score=98, stickied=True),
        comment(52, first, score=97, parent_id="t1_c1"),
    ]
    out = tmp_path / "o.jsonl"
    assert reddit(out, "--limit", 2, "--comments", 3) == 0
    first_row, second_row = rows(out)
    assert [found["id"] for found in first_row["comments"]] == ["t1_c6", "t1_c5", "t1_c4"]
    assert first_row["comments"][0]["text"] == "Answer 6: in the morning."
    assert first_row["comments"][0]["thread"] == "t3_s0"
    assert second_row["comments"] == []


def test_several_subreddits_and_listings_hold_each_post_once(
    server: FakeReddit, tmp_path: Path
) -> None:
    server.subreddits["trees"] = [submission(1000 + n, "trees") for n in range(5)]
    out = tmp_path / "o.parquet"
    code = reddit(
        out, "--subreddit", "r/Trees", "--subreddit", "TREES", "--limit", 8,
        "--listing", "top", "--time", "week", "--listing", "new",
    )  # fmt: skip
    assert code == 0
    expected = [f"t3_s{n}" for n in range(16)] + [f"t3_s{1000 + n}" for n in range(5)]
    assert ids(out) == expected
    tops = [asked for asked in server.api() if asked.path.endswith("/top")]
    assert tops
    assert {asked.params["t"] for asked in tops} == {"week"}


def test_comments_are_not_asked_for_twice(server: FakeReddit, tmp_path: Path) -> None:
    server.subreddits["gardening"] = server.subreddits["gardening"][:15]
    arguments = ("--listing", "hot", "--listing", "new", "--comments", 1, "--tries", 1)
    assert reddit(tmp_path / "o.jsonl", *arguments) == 0
    threads = [path for path in server.paths() if path.startswith("/comments/")]
    assert sorted(threads) == sorted({f"/comments/s{n}" for n in range(15)})


def test_search(server: FakeReddit, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    assert reddit(out, "--query", "plant 77?") == 0
    assert ids(out) == ["t3_s77"]
    assert server.api()[0].params["restrict_sr"] == "on"
    assert reddit(tmp_path / "p.jsonl", "--listing", "search") == 2


def test_failures_of_all_kinds_are_survived(server: FakeReddit, tmp_path: Path) -> None:
    server.page_size = 25
    for fault in (
        Reply(503, b"<html>busy</html>"),
        Drop(),
        Reply(429, {"error": 429}, {"Retry-After": "1"}),
        Drop(half=True),
        Reply(200, b"<html>who are you?</html>"),
        Stall(1.2),
        Reply(502, b""),
    ):
        server.faults.extend([fault, None])
    done = process(
        "reddit", "--subreddit", "gardening", "--out", tmp_path / "o.jsonl", *OURS,
        PRAWCORE_TIMEOUT="0.6",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ids(tmp_path / "o.jsonl") == [f"t3_s{n}" for n in range(250)]
    assert not server.faults
    assert "Traceback" not in done.stderr


def test_the_wait_for_the_rate_limit_is_told_with_its_end(
    server: FakeReddit, tmp_path: Path
) -> None:
    server.page_size = 150
    server.rate = ("0", "2", "100")
    server.subreddits["gardening"] = server.subreddits["gardening"][:120]
    arguments = ("reddit", "--subreddit", "gardening", "--out", tmp_path / "o.jsonl", *OURS)
    done = process(*arguments)
    assert done.returncode == 0
    assert done.stderr.count("Waiting until ") == 1
    assert ": the server's rate limit.\n" in done.stderr


def test_expired_tokens_are_renewed(server: FakeReddit, tmp_path: Path) -> None:
    server.uses = 2
    assert reddit(tmp_path / "o.jsonl") == 0
    assert server.tokens == 2
    assert len(ids(tmp_path / "o.jsonl")) == 250


def test_subreddits_that_cannot_be_read_are_named_and_the_others_go_on(
    server: FakeReddit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, status, reason in (
        ("hidden", 403, "private"),
        ("sick", 403, "quarantined"),
        ("gone", 404, "banned"),
    ):
        server.refusals[name] = Reply(status, {"reason": reason, "error": status})
    names = ("hidden", "sick", "gone", "never_was")
    others = [part for name in names for part in ("--subreddit", name)]
    assert reddit(tmp_path / "o.jsonl", *others, "--limit", 5) == 1
    said = capsys.readouterr().err
    for name, reason in zip(
        names, ("private", "quarantined", "banned", "no such subreddit"), strict=True
    ):
        line = next(line for line in said.splitlines() if line.startswith(f"Not read: r/{name}"))
        assert reason in line
    assert len(ids(tmp_path / "o.jsonl")) == 5
    asked = len(server.asked)
    assert reddit(tmp_path / "o.jsonl", *others, "--limit", 5) == 1
    again = capsys.readouterr()
    assert again.err.splitlines() == said.splitlines()[-4:]
    assert "since an earlier run that could not get all" in again.out
    assert len(server.asked) == asked


def test_nothing_at_all_is_an_error_and_leaves_no_file(
    server: FakeReddit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reddit(tmp_path / "o.jsonl", subreddit="never_was") == 9
    assert "r/never_was: there is no such subreddit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert reddit(tmp_path / "o.jsonl", "--limit", 3) == 0


def test_an_unreachable_server_ends_the_run_and_a_rerun_goes_on(
    server: FakeReddit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults.extend([None, Drop(), Drop()])
    assert reddit(tmp_path / "o.jsonl", "--tries", 2) == 9
    said = capsys.readouterr().err
    assert "it was tried 2 times" in said
    assert "run the same command again" in said
    asked = len(server.api())
    assert reddit(tmp_path / "o.jsonl", "--tries", 2) == 0
    assert server.api()[asked].params["after"] == "t3_s99"
    assert ids(tmp_path / "o.jsonl") == [f"t3_s{n}" for n in range(250)]


def test_a_server_that_goes_in_circles_ends_too(server: FakeReddit, tmp_path: Path) -> None:
    thing = {"kind": "t3", "data": submission(5)}
    page = Reply(200, {"data": {"children": [thing], "after": "t3_s5"}})
    other = Reply(200, {"data": {"children": [{"kind": "t5", "data": {}}], "after": "t3_s6"}})
    server.faults.extend([page] * 20)
    assert reddit(tmp_path / "o.jsonl") == 0
    assert ids(tmp_path / "o.jsonl") == ["t3_s5"]
    server.faults.clear()
    server.faults.extend([other] * 20)
    assert reddit(tmp_path / "p.jsonl") == 9
    assert len(server.faults) == 19


def test_a_second_run_asks_nothing(server: FakeReddit, tmp_path: Path) -> None:
    assert reddit(tmp_path / "o.jsonl") == 0
    asked = len(server.asked)
    assert reddit(tmp_path / "o.jsonl") == 0
    assert len(server.asked) == asked
    assert reddit(tmp_path / "o.jsonl", "--limit", 5) == 2


def test_the_listing_may_change_while_a_run_is_stopped(server: FakeReddit, tmp_path: Path) -> None:
    server.faults.extend([None, Drop()])
    assert reddit(tmp_path / "o.jsonl", "--tries", 1) == 9
    del server.subreddits["gardening"][95:100]  # among them what the next page comes after
    assert reddit(tmp_path / "o.jsonl") == 0
    assert ids(tmp_path / "o.jsonl") == [f"t3_s{n}" for n in range(250)]


def test_a_listing_without_anything_known_is_gone_through_again(
    server: FakeReddit, tmp_path: Path
) -> None:
    server.faults.extend([None, Drop()])
    assert reddit(tmp_path / "o.jsonl", "--tries", 1) == 9
    posts = server.subreddits["gardening"]
    server.subreddits["gardening"] = [submission(900), *posts[:60], *posts[100:]]
    assert reddit(tmp_path / "o.jsonl") == 0
    found = ids(tmp_path / "o.jsonl")
    assert len(found) == len(set(found))
    assert set(found) == {*(f"t3_s{n}" for n in range(250)), "t3_s900"}


def test_hashed_authors_agree_within_a_run_and_not_beyond(
    server: FakeReddit, tmp_path: Path
) -> None:
    server.faults.extend([None, None, Drop()])
    out = tmp_path / "o.jsonl"
    assert reddit(out, "--hash-authors", "--tries", 1) == 9
    state = tmp_path / "o.jsonl.state.json"
    salt = json.loads(state.read_text())["cursor"]["salt"]
    assert len(salt) == 32
    assert reddit(out, "--hash-authors") == 0
    by_author: dict[int, set[str]] = {}
    for row in rows(out):
        by_author.setdefault(int(row["id"][4:]) % 5, set()).add(row["author"])
    assert [len(hashes) for hashes in by_author.values()] == [1] * 5
    assert len(set.union(*by_author.values())) == 5
    assert salt not in state.read_text()
    assert b"gardener_" not in out.read_bytes()
    assert reddit(tmp_path / "other.jsonl", "--hash-authors") == 0
    assert rows(tmp_path / "other.jsonl")[0]["author"] != rows(out)[0]["author"]


def test_odd_answers_are_errors_for_people(
    server: FakeReddit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, odd in enumerate(([1, 2], {"data": None}, {"data": {"children": [{}]}}, "text", 7)):
        server.faults.append(Reply(200, odd))
        assert reddit(tmp_path / f"{number}.jsonl") == 9
        assert "no listing" in capsys.readouterr().err
    server.subreddits["odd"] = [
        {"id": 5}, {"id": "x1", "created_utc": "soon"}, {"name": None},
        submission(1, created_utc=float("nan")), submission(2, title="\x1b[31mred\ud800"),
        submission(3, score=None, over_18=None), submission(4, score="12"),
    ]  # fmt: skip
    for row in server.subreddits["odd"]:
        row.setdefault("name", "t3_odd")
    assert reddit(tmp_path / "o.jsonl", subreddit="odd") == 0
    assert [row["score"] for row in rows(tmp_path / "o.jsonl")] == [2, 0, 12]


@pytest.mark.parametrize("name", ["../etc", "a", "two words", "x" * 40, "gardening?x=1"])
def test_names_that_are_none_are_refused(server: FakeReddit, tmp_path: Path, name: str) -> None:
    assert reddit(tmp_path / "o.jsonl", subreddit=name) == 2
    assert server.asked == []


def test_killed_at_any_point_nothing_is_lost_or_doubled(server: FakeReddit, tmp_path: Path) -> None:
    posts = server.subreddits["gardening"][:130]
    server.subreddits["gardening"] = posts
    server.subreddits["trees"] = [submission(1000 + n, "trees") for n in range(30)]
    for post in posts[::3]:
        server.comments[post["id"]] = [comment(int(post["id"][1:]) * 10 + n, post) for n in (0, 1)]
    arguments = ("--subreddit", "trees", "--comments", 2)
    calm = tmp_path / "calm.jsonl"
    assert reddit(calm, *arguments) == 0
    out = tmp_path / "o.jsonl"
    chance = random.Random(20)
    kills = 0
    command = ("reddit", "--subreddit", "gardening", "--out", out, *OURS, *arguments)
    while kills < 6:
        goal = len(server.asked) + chance.randint(1, 45)
        if killed_when(lambda goal=goal: len(server.asked) >= goal, *command):
            break
        kills += 1
    assert kills >= 4
    assert reddit(out, *arguments) == 0
    assert out.read_bytes() == calm.read_bytes()


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(server: FakeReddit, tmp_path: Path) -> None:
    server.faults.extend([None, Stall(60)])
    out = tmp_path / "o.jsonl"
    command = [*PROGRAM, "reddit", "--subreddit", "gardening", "--out", str(out), *OURS]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 120
        while len(server.api()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert said.strip() == "Stopped. Run the same command again, and it goes on."
    assert reddit(out) == 0
    assert ids(out) == [f"t3_s{n}" for n in range(250)]


@pytest.mark.parametrize("secret", ["wrong-secret-value", "schl\u00fcssel-\u20ac-value"])
def test_wrong_credentials_end_the_run_and_stand_nowhere(
    server: FakeReddit, tmp_path: Path, secret: str
) -> None:
    write_praw_ini(server, secret)
    arguments = ("reddit", "--subreddit", "gardening", "--out", tmp_path / "o.jsonl", *OURS)
    done = process(*arguments, "--debug")
    assert done.returncode == 9
    assert "credentials" in done.stderr
    assert "Traceback" in done.stderr
    for value in (secret, SECRET, CLIENT_ID):
        assert value not in done.stderr + done.stdout
        assert not any(value in path.read_text() for path in tmp_path.iterdir())


def test_credentials_stand_in_no_output_of_a_run_that_works(
    server: FakeReddit, tmp_path: Path
) -> None:
    server.faults.extend([Reply(401, {"error": 401}), Drop(), Reply(403, b"<html>no</html>")])
    arguments = ("reddit", "--subreddit", "gardening", "--out", tmp_path / "o.jsonl", *OURS)
    done = process(*arguments, "--debug", "--subreddit", "trees")
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    for value in (SECRET, CLIENT_ID, "token-", "earer"):
        assert value not in done.stderr + done.stdout + written
