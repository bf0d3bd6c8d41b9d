"""Makes posts of the things that Reddit's API and the Arctic Shift archive send.

Fields: https://www.reddit.com/dev/api and the archive's own `_meta`. What was deleted or removed
becomes no post. Dumps have their own, faster way (their schemas differ by year).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from converters.scrape.posts import Post, deleted, hashed, plain

AuthorOf = Callable[[str | None], str]
"""What is kept of an author: nothing, or a hash."""


class _Thing(msgspec.Struct):
    """A submission or a comment as it comes, without the nulls."""

    id: str
    created_utc: float
    subreddit: str
    name: str = ""
    title: str = ""
    selftext: str = ""
    body: str = ""
    score: float = 0
    over_18: bool | None = None
    link_id: str = ""
    parent_id: str = ""
    author: str | None = None
    removed_by_category: str = ""


class _Meta(msgspec.Struct):
    """What the archive learned later."""

    was_deleted_later: bool = False
    removal_type: str = ""


def new_salt() -> str:
    """32 hexadecimal digits for `author_of`; whoever has them can tell who wrote what."""
    return secrets.token_hex(16)


def author_of(salt: str) -> AuthorOf:
    """Hashes authors with a salt; leaves them out where it is empty."""
    if not salt:
        return lambda _: ""
    key = bytes.fromhex(salt)
    return lambda author: hashed(author, key)


def fullname(thing: dict[str, Any]) -> str:
    """The fullname of a thing, or empty."""
    name, number = thing.get("name"), thing.get("id")
    if isinstance(name, str) and name.startswith(("t1_", "t3_")):
        return name
    kind = "t1_" if "body" in thing else "t3_"
    return kind + number if isinstance(number, str) and number else ""


def post_of(
    thing: dict[str, Any],
    author: AuthorOf,
    source: str,
    *,
    escaped: bool = False,
    comments: Sequence[Post] = (),
) -> Post | None:
    """A thing as a post, or None where it is deleted, removed, or no submission or comment.

    `escaped`: the text still has HTML entities.
    """
    if reason_gone(thing):
        return None
    read = _read(thing)
    if read is None:
        return None
    comment = "body" in thing
    name = fullname(thing)
    tidy = plain if escaped else str
    return Post(
        id=name,
        kind="comment" if comment else "submission",
        subreddit=read.subreddit,
        created=int(read.created_utc),
        title=tidy(read.title),
        text=tidy(read.body if comment else read.selftext),
        score=int(read.score),
        over_18=read.over_18,
        thread=_prefixed("t3_", read.link_id) if comment else name,
        parent=read.parent_id if comment else "",
        author=author(read.author),
        comments=list(comments),
        source=source,
    )


def reason_gone(thing: dict[str, Any]) -> str:
    """Why a thing is no longer there: "deleted" by its author, or "removed" by others; or empty."""
    meta = thing.get("_meta")
    if isinstance(meta, dict):
        try:
            learned = msgspec.convert(_without_nulls(meta), _Meta, strict=False)
        except msgspec.ValidationError:
            return "removed"
        if learned.removal_type:
            return "deleted" if learned.removal_type == "deleted" else "removed"
        if learned.was_deleted_later:
            return "deleted"
    category = thing.get("removed_by_category")
    if category:
        return "deleted" if category in ("deleted", "author") else "removed"
    text = str(thing.get("body" if "body" in thing else "selftext") or "")
    writer = thing.get("author")
    if deleted(text, writer if isinstance(writer, str) else None):
        return "removed" if "removed" in text.lower() else "deleted"
    return ""


def _read(thing: dict[str, Any]) -> _Thing | None:
    """A thing with its types checked: what the network sends is not to be trusted."""
    try:
        read = msgspec.convert(_without_nulls(thing), _Thing, strict=False)
        sound = abs(read.created_utc) < 2**40 and abs(read.score) < 2**40  # not true of NaN
    except msgspec.ValidationError:
        return None
    return read if sound and fullname(thing) else None


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _prefixed(prefix: str, name: str) -> str:
    return name if not name or name.startswith(prefix) else prefix + name
