"""The record of the collecting commands."""

from __future__ import annotations

import json

import msgspec
import pytest

from converters.scrape.posts import Post, deleted, hashed, line_of, plain, rank, top


def _post(**said: object) -> Post:
    return msgspec.convert(
        {"id": "t3_a", "kind": "submission", "subreddit": "Gardening", "created": 1} | said, Post
    )


@pytest.mark.parametrize(
    "text",
    ["[deleted]", "[removed]", " [Removed] ", "[ Removed by Reddit ]", "[deleted by user]",
     "[ Removed by Reddit on account of violating the content policy. ]"],
)  # fmt: skip
def test_what_was_taken_away_is_deleted(text: str) -> None:
    assert deleted(text, "somebody")


@pytest.mark.parametrize("author", [None, "[deleted]"])
def test_nothing_left_of_an_author_who_is_gone_is_deleted(author: str | None) -> None:
    assert deleted("", author)
    assert not deleted("My basil wilts.", author)


def test_a_post_without_text_is_not_deleted_while_its_author_is_there() -> None:
    assert not deleted("", "somebody")
    assert not deleted("They wrote [deleted] under it.", "somebody")


def test_only_the_entities_that_reddit_makes_are_undone() -> None:
    assert plain("a &lt; b &amp;&amp; c &gt; d &copy; &amp;lt;") == "a < b && c > d &copy; &lt;"


def test_a_hash_stands_for_an_author_within_a_run_only() -> None:
    first, second = b"a" * 16, b"b" * 16
    assert hashed("ann", first) == hashed("ann", first) != hashed("bob", first)
    assert hashed("ann", first) != hashed("ann", second)
    assert "ann" not in hashed("ann", first)
    assert [hashed(nobody, first) for nobody in (None, "", "[deleted]")] == ["", "", ""]


def test_a_line_has_every_field_and_flat_comments() -> None:
    comment = _post(id="t1_b", kind="comment", text="Water it.")
    line = line_of(_post(comments=[msgspec.to_builtins(comment)], title="Basil\nwilts"))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    row = json.loads(line)
    assert tuple(row) == Post.__struct_fields__
    assert set(row["comments"][0]) == set(Post.__struct_fields__) - {"comments"}
    assert msgspec.json.decode(line, type=Post).comments[0] == comment


def test_half_a_surrogate_pair_can_be_written() -> None:
    line = line_of(_post(title="half \ud83d, whole \U0001f600", text="café"))
    assert line.endswith(b"}\n")
    found = msgspec.json.decode(line, type=Post)
    assert (found.title, found.text) == ("half \ufffd, whole 😀", "café")


def test_comments_are_ranked_by_score_then_age_then_id() -> None:
    posts = [
        _post(id=id, kind="comment", score=score, created=created)
        for id, score, created in [("a", 1, 5), ("d", 2, 9), ("c", 2, 9), ("b", 2, 3), ("e", -1, 0)]
    ]
    assert [post.id for post in top(posts, 9)] == ["b", "c", "d", "a", "e"]
    assert [post.id for post in top(reversed(posts), 2)] == ["b", "c"]
    assert rank(2, 3, "b") < rank(2, 9, "c") < rank(1, 5, "a")
