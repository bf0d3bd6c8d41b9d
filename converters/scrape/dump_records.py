"""A line of a dump as a record: every field optional, whatever the year it was written in.

Pushshift and Arctic Shift keep Reddit's own fields (https://www.reddit.com/dev/api), but numbers
come as text or with a fraction, ids with and without prefix or as decimal numbers, and names are
missing. Filters are elsewhere.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import msgspec

from converters.scrape.posts import Kind, Post, deleted, hashed, plain, well_formed

_Scalar: TypeAlias = str | int | float | bool | None
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class NotARecord(ValueError):
    """The line is no submission or comment; the message says why."""


class DumpRow(msgspec.Struct):
    """The fields that are used, as they lie in the file."""

    id: _Scalar = None
    name: _Scalar = None
    subreddit: _Scalar = None
    created_utc: _Scalar = None
    title: _Scalar = None
    selftext: _Scalar = None
    body: _Scalar = None
    score: _Scalar = None
    over_18: _Scalar = None
    author: _Scalar = None
    link_id: _Scalar = None
    parent_id: _Scalar = None
    removed_by_category: _Scalar = None
    """Reddit's own word on who took it away: "deleted", "moderator", ..."""
    stickied: _Scalar = None
    """Of comments: pinned by a moderator."""
    meta: Any = msgspec.field(name="_meta", default=None)
    """Arctic Shift's: what it found when it looked again."""


_DECODER = msgspec.json.Decoder(DumpRow)


def row_of(line: bytes) -> DumpRow:
    """The row of a line. Raises NotARecord."""
    try:
        return _DECODER.decode(line)
    except UnicodeDecodeError as error:
        raise NotARecord(f"not UTF-8 (byte {error.object[error.start]:#04x})") from error
    except msgspec.ValidationError as error:
        raise NotARecord(f"no record: {error}") from error
    except msgspec.DecodeError as error:
        return _mended(line, error)


def _mended(line: bytes, refused: msgspec.DecodeError) -> DumpRow:
    r"""A row whose texts hold halves of surrogate pairs ("\ud83d"), which become U+FFFD."""
    try:
        return _DECODER.decode(well_formed(json.dumps(json.loads(line), ensure_ascii=False)))
    except (ValueError, RecursionError) as error:
        raise NotARecord(f"no JSON ({refused})") from error


def was_deleted(row: DumpRow) -> bool:
    """Whether it was deleted or removed by the time the dump was made, or later if that is said."""
    meta = row.meta if isinstance(row.meta, dict) else {}
    if meta.get("was_deleted_later") or meta.get("removal_type") or row.removed_by_category:
        return True
    # A source that leaves authors out says nothing about them.
    author = _text(row.author)
    texts = [_text(text) for text in (row.selftext, row.body) if text is not None] or [""]
    return any(deleted(text, author) for text in texts) or (
        bool(row.title) and deleted(_text(row.title), author)
    )


def is_pinned(row: DumpRow) -> bool:
    """Whether a moderator put the comment on top."""
    return bool(_flag(row.stickied))


def post_of(row: DumpRow, source: str, salt: bytes = b"", is_comment: bool | None = None) -> Post:
    """The record of a row; authors are hashed if there is a salt, else left out.

    `is_comment` is what the file's name says, for rows that do not say themselves. Raises
    NotARecord.
    """
    kind = _kind(row, is_comment)
    code = _code(row.id) or _code(row.name)
    if not code:
        raise NotARecord("no id")
    is_submission = kind == "submission"
    fullname = f"t3_{code}" if is_submission else f"t1_{code}"
    thread = fullname if is_submission else _fullname("t3", row.link_id)
    return Post(
        id=fullname,
        kind=kind,
        subreddit=_text(row.subreddit),
        created=_whole(row.created_utc, "created_utc"),
        title=plain(_text(row.title)) if is_submission else "",
        text=plain(_text(row.selftext if is_submission else row.body)),
        score=_whole(row.score, "score"),
        over_18=_flag(row.over_18),
        thread=thread,
        parent="" if is_submission else _parent(row.parent_id, thread),
        author=hashed(_text(row.author), salt) if salt else "",
        source=source,
    )


def _kind(row: DumpRow, is_comment: bool | None) -> Kind:
    name = _text(row.name)
    if row.body is not None or name.startswith("t1_"):
        return "comment"
    if row.title is not None or row.selftext is not None or name.startswith("t3_"):
        return "submission"
    if is_comment is None:
        raise NotARecord("neither a submission nor a comment")
    return "comment" if is_comment else "submission"


def _text(value: _Scalar) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _code(value: _Scalar) -> str:
    """An id without prefix; a number is what some tools made of it: base 36 read as a number."""
    if isinstance(value, str):
        return value.rpartition("_")[2].lower()
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**63:
        return _base36(int(value))
    return ""


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _fullname(prefix: str, value: _Scalar) -> str:
    code = _code(value)
    return f"{prefix}_{code}" if code else ""


def _parent(value: _Scalar, thread: str) -> str:
    """A bare id does not say whether it is the submission: it is if they are the same."""
    if isinstance(value, str) and value.startswith(("t1_", "t3_")):
        return value.lower()
    code = _code(value)
    return "" if not code else thread if thread == f"t3_{code}" else f"t1_{code}"


def _whole(value: _Scalar, what: str) -> int:
    try:
        number = int(float(value)) if value not in (None, "") else 0
    except (ValueError, OverflowError):
        raise NotARecord(f"{what} is no number: {_text(value)[:40]!r}") from None
    if abs(number) >= 2**63:
        raise NotARecord(f"{what} is no number of this world: {_text(value)[:40]!r}")
    return number


def _flag(value: _Scalar) -> bool | None:
    if value is None:
        return None
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    return bool(value)
