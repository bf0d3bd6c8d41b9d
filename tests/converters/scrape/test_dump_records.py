"""Rows of every year as records, and which of them are kept."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from converters.scrape.dump_records import DumpRow, NotARecord, post_of, row_of, was_deleted
from converters.scrape.filters import Filters, Sieve
from converters.scrape.posts import Post
from oa_chat.errors import UsageError
from tests.converters.scrape.dump_files import comment, line, submission


def _row(said: dict[str, Any]) -> DumpRow:
    return row_of(line(said))


def _post(said: dict[str, Any], salt: bytes = b"") -> Post:
    return post_of(_row(said), "RS_2019-01.zst", salt)


def test_a_submission() -> None:
    found = _post(submission(3, selftext="salt &amp; slugs &lt;3", over_18=True))
    assert found == Post(
        id="t3_s0003",
        kind="submission",
        subreddit="Gardening",
        created=1_546_311_600,
        title="What eats my lettuce, part 3?",
        text="salt & slugs <3",
        score=3,
        over_18=True,
        thread="t3_s0003",
        source="RS_2019-01.zst",
    )


def test_a_comment() -> None:
    found = _post(comment(3, on=1, name="t1_c0003", parent_id="t1_c0002"))
    assert found == Post(
        id="t1_c0003",
        kind="comment",
        subreddit="Gardening",
        created=1_546_300_803,
        text="Try beer traps, says 3.",
        score=3,
        thread="t3_s0001",
        parent="t1_c0002",
        source="RS_2019-01.zst",
    )


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ({"created_utc": "1546300800"}, "created", 1_546_300_800),
        ({"created_utc": 1546300800.0}, "created", 1_546_300_800),
        ({"created_utc": "1546300800.5"}, "created", 1_546_300_800),
        ({"created_utc": None}, "created", 0),
        ({"score": "17"}, "score", 17),
        ({"score": None}, "score", 0),
        ({"over_18": "false"}, "over_18", False),
        ({"over_18": 1}, "over_18", True),
        ({"over_18": None}, "over_18", None),
        ({"id": "t3_ABC"}, "id", "t3_abc"),
        ({"id": None, "name": "t3_abc"}, "id", "t3_abc"),
        ({"id": 13368}, "id", "t3_abc"),
        ({"subreddit": None}, "subreddit", ""),
        ({"selftext": None}, "text", ""),
    ],
)
def test_every_year_writes_it_otherwise(said: dict[str, Any], field: str, value: object) -> None:
    assert getattr(_post(submission(1) | said), field) == value


@pytest.mark.parametrize(
    ("said", "thread", "parent"),
    [
        ({"link_id": "abc", "parent_id": "abc"}, "t3_abc", "t3_abc"),
        ({"link_id": 13368, "parent_id": 13368}, "t3_abc", "t3_abc"),
        ({"link_id": "t3_abc", "parent_id": 13369}, "t3_abc", "t1_abd"),
        ({"link_id": None, "parent_id": None}, "", ""),
    ],
)
def test_ids_without_prefix_and_as_numbers(said: dict[str, Any], thread: str, parent: str) -> None:
    found = _post(comment(1, on=1) | said)
    assert (found.thread, found.parent) == (thread, parent)


def test_the_files_name_says_what_a_row_does_not() -> None:
    row = _row({"id": "a", "subreddit": "x"})
    assert post_of(row, "RC_2010-01", is_comment=True).id == "t1_a"
    assert post_of(row, "RS_2010-01", is_comment=False).id == "t3_a"
    with pytest.raises(NotARecord, match="neither"):
        post_of(row, "all.zst")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"id":"a","title":"x"', "no JSON"),
        (b'["a"]', "no record: Expected `object`"),
        (b'{"id":"a","title":["x"]}', "`\\$.title`"),
        (b'{"id":"a","title":"caf\xe9"}', "not UTF-8 \\(byte 0xe9\\)"),
        (b'{"title":"x"}', "no id"),
        (b'{"id":"a","title":"x","created_utc":"soon"}', "created_utc is no number: 'soon'"),
        (b'{"id":"a","title":"x","score":1e99}', "score is no number of this world"),
        (b'{"id":"a","title":' + b"[" * 50_000 + b"}", "no (JSON|record)"),
    ],
)
def test_what_is_no_record_is_told(text: bytes, reason: str) -> None:
    with pytest.raises(NotARecord, match=reason):
        post_of(row_of(text), "RS_2019-01.zst")


def test_half_a_surrogate_pair_becomes_a_replacement() -> None:
    found = post_of(row_of(rb'{"id":"a","title":"half \ud83d, whole \ud83d\ude00"}'), "RS")
    assert found.title == "half \ufffd, whole 😀"
    msgspec.json.encode(found)


@pytest.mark.parametrize(
    "said",
    [
        {"selftext": "[deleted]"},
        {"selftext": "[removed]", "author": "somebody"},
        {"selftext": "", "author": "[deleted]"},
        {"selftext": None, "author": "[deleted]"},
        {"title": "[deleted by user]"},
        {"removed_by_category": "moderator"},
        {"_meta": {"was_deleted_later": True}},
        {"_meta": {"removal_type": "deleted"}},
    ],
)
def test_what_was_deleted_then_or_later(said: dict[str, Any]) -> None:
    assert was_deleted(_row(submission(1) | said))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"author": "[deleted]"},
        {"selftext": "", "author": None},
        {"removed_by_category": None, "_meta": {"retrieved_2nd_on": 1, "removal_type": None}},
        {"_meta": None},
        {"_meta": "odd"},
    ],
)
def test_what_is_still_there(said: dict[str, Any]) -> None:
    assert not was_deleted(_row(submission(1) | said))


def test_authors_are_left_out_or_hashed() -> None:
    salt = b"s" * 32
    assert _post(submission(1)).author == ""
    first, second = _post(submission(1), salt), _post(submission(2), salt)
    assert len(first.author) == 16
    assert first.author != second.author
    assert _post(submission(1, author="[deleted]"), salt).author == ""


# --------------------------------------------------------------------------------- filters


def _reason(said: dict[str, Any], **filters: Any) -> str | None:
    return Sieve(Filters(**filters)).check(_post(submission(5) | said))


def test_no_filter_keeps_everything() -> None:
    assert _reason({"subreddit": None, "created_utc": None, "score": -9}) is None


def test_each_filter_says_why() -> None:
    first = 1_546_387_200  # 2019-01-02
    assert _reason({}, subreddits=("GARDENING",)) is None
    assert _reason({}, subreddits=("cooking",)) == "subreddit"
    assert _reason({"created_utc": first}, after=first) is None
    assert _reason({"created_utc": first - 1}, after=first) == "date"
    assert _reason({"created_utc": first - 1}, before=first) is None
    assert _reason({"created_utc": first}, before=first) == "date"
    assert _reason({"score": 3}, min_score=3) is None
    assert _reason({"score": 2}, min_score=3) == "score"
    assert _reason({"selftext": "my Lettuce"}, match=r"(?i)\blettuce$") is None
    assert _reason({"title": "LETTUCE", "selftext": ""}, match="lettuce") == "match"


@pytest.mark.parametrize(
    ("marked", "only", "without"),
    [(True, None, "over_18"), (False, "over_18", None), (None, "over_18", None)],
)
def test_over_18(marked: bool | None, only: str | None, without: str | None) -> None:
    assert _reason({"over_18": marked}, over_18="only") == only
    assert _reason({"over_18": marked}, over_18="without") == without


def test_language_is_kept_with_the_record() -> None:
    sieve = Sieve(Filters(languages=("de", "und")))
    german = _post(submission(1, title="Wer frisst nachts meinen Salat?", selftext=""))
    found = sieve.with_language(german)
    assert found is not None
    assert found.lang == "de"
    short = sieve.with_language(_post(submission(1, title="lol", selftext="")))
    assert short is not None
    assert short.lang == "und"
    assert sieve.with_language(_post(submission(1, selftext="Nobody knows this garden."))) is None
    assert Sieve(Filters()).with_language(german) is german


def test_a_wrong_expression_is_told() -> None:
    with pytest.raises(UsageError, match="--match is no regular expression: .*position 1"):
        Sieve(Filters(match="a(b"))


def test_an_expression_that_explodes_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.scrape.filters._PATIENCE", 0.2)
    sieve = Sieve(Filters(match="^(a+)+$"))
    started = time.monotonic()
    with pytest.raises(UsageError, match="did not come to an end within .* on t3_s0001"):
        sieve.check(_post(submission(1, title="a" * 60 + "!", selftext="")))
    assert time.monotonic() - started < 5
    assert sieve.check(_post(submission(1, title="aaa", selftext=""))) in (None, "match")
