"""Puts the records of several dump files together, in the order of the files.

With comments to join, a submission takes its best comments along and comments are no records of
their own. Only ids, scores and places are held in memory; the texts stay in the files.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from converters.scrape.posts import Kind, Post, rank
from converters.scrape.spool import Spool

_PAGE = 2000
"""Records that are made durable at a time."""


class Mark(msgspec.Struct, frozen=True):
    """A place in the files: the number of one, and a byte of it."""

    file: int = 0
    byte: int = 0


class _Brief(msgspec.Struct):
    """As much of a record as joining needs."""

    id: str
    kind: Kind
    score: int
    created: int
    thread: str


_Line = tuple[int, int, int]
"""A record's place: the number of the file, the byte, the length."""
_Ranked = tuple[tuple[int, int, str], _Line]
"""A comment by its rank, and its place."""
_BRIEF = msgspec.json.Decoder(_Brief)
_POST = msgspec.json.Decoder(Post)


def merge(
    parts: Sequence[Path], comments: int, spool: Spool, salt: str, told: Callable[[int], None]
) -> int:
    """Append the parts' records to the spool, from where it stopped; how many were doubles.

    `comments` is how many a submission takes along; with 0, comments are records of their own.
    `told` hears how many records were read.
    """
    best = _best_comments(parts, comments) if comments else None
    cursor = spool.cursor
    mark = Mark(cursor.get("file", 0), cursor.get("byte", 0))
    read: int = cursor.get("read", 0)
    page: list[Post] = []

    def append(mark: Mark) -> None:
        spool.append(page, {"salt": salt, "file": mark.file, "byte": mark.byte, "read": read})
        page.clear()
        told(read)

    with _Opened(parts) as files:
        for end, post in _posts(parts, mark):
            mark = end
            if best is None:
                page.append(post)
            elif post.kind == "submission":
                taken = [files.post(*line) for _, line in best[post.id]]
                page.append(msgspec.structs.replace(post, comments=taken))
            else:
                continue
            read += 1
            if len(page) == _PAGE:
                append(mark)
        append(mark)
    return read - spool.count


def _posts(parts: Sequence[Path], mark: Mark) -> Iterator[tuple[Mark, Post]]:
    """The records from a mark on, each with the mark behind it."""
    for number in range(mark.file, len(parts)):
        byte = mark.byte if number == mark.file else 0
        with parts[number].open("rb") as lines:
            lines.seek(byte)
            for line in lines:
                byte += len(line)
                yield Mark(number, byte), _POST.decode(line)


def _best_comments(parts: Sequence[Path], limit: int) -> dict[str, list[_Ranked]]:
    """By submission, its best comments, best first."""
    best: dict[str, list[_Ranked]] = {
        brief.id: [] for _, brief in _briefs(parts) if brief.kind == "submission"
    }
    seen: set[str] = set()
    for mark, brief in _briefs(parts):
        ranked = best.get(brief.thread)
        if brief.kind != "comment" or ranked is None or brief.id in seen:
            continue
        seen.add(brief.id)
        bisect.insort(ranked, (rank(brief.score, brief.created, brief.id), mark))
        del ranked[limit:]
    return best


def _briefs(parts: Sequence[Path]) -> Iterator[tuple[_Line, _Brief]]:
    """As much as joining needs of every record, and the file, byte and length of its line."""
    for number, part in enumerate(parts):
        byte = 0
        with part.open("rb") as lines:
            for line in lines:
                yield (number, byte, len(line)), _BRIEF.decode(line)
                byte += len(line)


class _Opened:
    """Reads single records out of the parts, each of which is opened once."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._parts = parts
        self._files: dict[int, IO[bytes]] = {}

    def post(self, number: int, byte: int, length: int) -> Post:
        if number not in self._files:
            self._files[number] = self._parts[number].open("rb")
        self._files[number].seek(byte)
        return _POST.decode(self._files[number].read(length))

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
