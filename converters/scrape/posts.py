"""The one record of everything that is collected: submissions and comments, from any source.

Every `scrape` command writes it and `prepare` reads it (docs/scrape.md shows it as a table). The
names of Reddit's own fields are those of https://www.reddit.com/dev/api. This module does not
read sources and does not choose what is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Kind = Literal["submission", "comment"]

_GONE = frozenset(
    {
        "[deleted]",
        "[deleted by user]",
        "[removed]",
        "[removed by reddit]",
        "[removed by moderator]",
    }
)


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A submission or a comment."""

    id: str
    """Fullname: "t3_..." for a submission, "t1_..." for a comment."""
    kind: Kind
    subreddit: str
    created: int
    """Seconds since 1970, UTC."""
    title: str = ""
    """Of submissions."""
    text: str = ""
    """The selftext or body as Reddit gave it: Markdown, with HTML entities undone."""
    score: int = 0
    over_18: bool | None = None
    """None where the source does not say."""
    lang: str = ""
    """ISO 639 code; "und" is undecided, empty was not looked at."""
    thread: str = ""
    """Fullname of the submission that it belongs to (of a submission: its own)."""
    parent: str = ""
    """Fullname of what it answers; empty for submissions."""
    author: str = ""
    """Empty, or a hash with a salt that nobody keeps."""
    comments: list[Post] = []
    """Top comments of a submission, best first; these have none of their own."""
    source: str = ""
    """"reddit", "arctic", or the dump file's name."""


def deleted(text: str, author: str | None) -> bool:
    """Whether the text says that it was deleted or removed.

    `author` as the source gives it: None or "[deleted]" is an author who is gone. What they wrote
    may still be there and then counts as not deleted; where nothing is left, it does.
    """
    said = text.strip().lower().replace("[ ", "[").replace(" ]", "]")
    if said in _GONE or said.startswith("[removed by reddit"):
        return True
    return not said and (author is None or author == "[deleted]")


def plain(text: str) -> str:
    """The text with the three HTML entities undone that Reddit's API makes of <, > and &.

    Others are left alone: whoever typed "&copy" meant that.
    """
    if "&" not in text:
        return text
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def rank(score: int, created: int, id: str) -> tuple[int, int, str]:
    """What to sort comments by: a higher score comes first, then what is older, then the id."""
    return -score, created, id


def top(comments: Iterable[Post], limit: int) -> list[Post]:
    """The first comments by rank, at most `limit`."""
    ranked = sorted(comments, key=lambda one: rank(one.score, one.created, one.id))
    return ranked[:limit]


def hashed(author: str | None, salt: bytes) -> str:
    """16 hexadecimal digits that stand for an author within one run; empty for nobody.

    `salt` is at least 16 random bytes, and is thrown away with the run's work files.
    """
    if not author or author in ("[deleted]", "[removed]"):
        return ""
    return hashlib.blake2b(author.encode("utf-8", "replace"), digest_size=8, key=salt).hexdigest()


def well_formed(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair, which UTF-8 has no bytes for."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def line_of(post: Post) -> bytes:
    """A post as a line of JSON Lines, with its newline; comments inside have no `comments`."""
    row = row_of(post) if post.comments else post
    try:
        return msgspec.json.encode(row) + b"\n"
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(row), ensure_ascii=False, separators=(",", ":"))
        return well_formed(text).encode("utf-8") + b"\n"


def row_of(post: Post) -> dict[str, Any]:
    """A post as a plain dict, in the order of the fields."""
    row: dict[str, Any] = msgspec.to_builtins(post)
    for comment in row["comments"]:
        del comment["comments"]
    return row
