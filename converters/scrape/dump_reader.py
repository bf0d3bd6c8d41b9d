"""The lines of a dump file that may belong to wanted subreddits, with their places.

A line is looked at only by its bytes: the buffer of some 1 MiB is searched for the key
``"subreddit"`` with a wanted name, and all that is not a match is never decoded or parsed. The
search cannot be fooled by a text that quotes JSON, because quotes inside a text are escaped; a
crosspost names the other subreddit too, so whoever parses the line decides. Lines that do not
begin with a brace or end with one are found on the way, wanted or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from converters.scrape.unpacking import Gap, Start, unpack

_CHUNK = 2**20
"""Bytes that are searched at a time. Measured: 4 MiB, which leave the processor's cache between
the searches, are 7 % slower, and 256 KiB 13 %."""
LONGEST = 8 * 2**20
"""Bytes. Reddit's longest records are some hundred kB; a longer line is passed over."""
_SUSPECT = re.compile(rb'\n(?:(?<!\}\n)|(?!\{"))')
"""A line's end without a brace on both sides. It begins with a literal, which makes it quick."""


class Place(msgspec.Struct, frozen=True):
    """Where to go on: the line at byte `text`, found by unpacking from byte `file`."""

    text: int = 0
    """Byte of the unpacked text."""
    file: int = 0
    """Byte of the file where a frame begins."""
    frame: int = 0
    """Byte of the unpacked text at which that frame begins."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that may be wanted, without its newline."""

    text: int
    """Byte of the unpacked text where it begins."""
    data: bytes


class Problem(msgspec.Struct, frozen=True):
    """What could not be read, and where."""

    text: int
    """Byte of the unpacked text."""
    reason: str
    file: int = -1
    """Byte of the file, where the damage is in the packing; else -1."""

    def __str__(self) -> str:
        where = f"byte {self.text} of the unpacked text"
        return f"{f'byte {self.file}' if self.file >= 0 else where}: {self.reason}"


Found = Line | Problem | Place


def pattern_of(subreddits: Iterable[str]) -> re.Pattern[bytes] | None:
    """What to search for; None (every line) for no subreddits. Names are compared without case."""
    names = sorted({name.lower() for name in subreddits})
    if not names:
        return None
    either = b"|".join(re.escape(name.encode("ascii", "replace")) for name in names)
    # Searched for is what comes first, up to the first choice. It begins with the rarest letter of
    # the key, and what stands before that is looked at afterwards: 1.5 times as fast as a
    # search for the whole key, whose quote is every tenth byte of JSON.
    return re.compile(rb'breddit"(?<="subreddit")\s*:\s*"(?i:' + either + rb')"')


class LineReader:
    """Reads one file once, from a place."""

    def __init__(self, path: Path, wanted: re.Pattern[bytes] | None) -> None:
        self._path = path
        self._wanted = wanted
        self._buffer = bytearray()
        self._base = 0
        """Byte of the text at which the buffer begins."""
        self._long = 0
        """Bytes so far of a line that is too long, or 0."""
        self._starts: list[tuple[int, int]] = []
        """Of the frames that may still matter: byte of the text, byte of the file."""

    def read(self, place: Place) -> Iterator[Found]:
        """Lines and problems in order; a Place says that all before it were handed out."""
        self._base = place.frame
        to_skip = place.text - place.frame
        limit = _CHUNK
        for event in unpack(self._path, place.file):
            match event:
                case Start(offset):
                    self._starts.append((self._base + len(self._buffer) + self._long, offset))
                case Gap():
                    yield from self._gap(event)
                    limit = _CHUNK
                case piece:
                    if to_skip:
                        passed = min(to_skip, len(piece))
                        to_skip -= passed
                        self._base += passed
                        piece = piece[passed:]
                    yield from self._take(piece)
                    if len(self._buffer) >= limit:
                        yield from self._cut()
                        # A line goes on beyond the buffer: it is searched again a chunk later.
                        limit = _CHUNK + len(self._buffer)
        if self._long:
            yield self._end_of_long(0)
        if self._buffer:
            self._buffer += b"\n"
            yield from self._search(len(self._buffer))
            self._base += len(self._buffer) - 1
        yield self._place()

    def _take(self, piece: bytes) -> Iterator[Found]:
        """Put a piece into the buffer, unless it belongs to a line that is too long."""
        if self._long:
            end = piece.find(b"\n")
            if end < 0:
                self._long += len(piece)
                return
            yield self._end_of_long(end + 1)
            piece = piece[end + 1 :]
        self._buffer += piece

    def _end_of_long(self, more: int) -> Problem:
        length = self._long + more
        told = Problem(self._base, f"a line of {length} bytes; the longest read is {LONGEST}")
        self._base += length
        self._long = 0
        return told

    def _gap(self, gap: Gap) -> Iterator[Found]:
        """Hand out the whole lines before the gap; a line that it cut in two is lost with it."""
        yield from self._cut()
        if self._long:
            yield self._end_of_long(0)
        self._base += len(self._buffer)
        self._buffer.clear()
        yield Problem(self._base, gap.reason, gap.offset)

    def _cut(self) -> Iterator[Found]:
        """What is in the buffer's whole lines; the rest of it stays."""
        end = self._buffer.rfind(b"\n") + 1
        if end:
            yield from self._search(end)
            del self._buffer[:end]
            self._base += end
            yield self._place()
        if len(self._buffer) > LONGEST:
            self._long = len(self._buffer)
            self._buffer.clear()

    def _place(self) -> Place:
        while len(self._starts) > 1 and self._starts[1][0] <= self._base:
            del self._starts[0]
        text, file = self._starts[0] if self._starts else (0, 0)
        return Place(self._base, file, text)

    def _search(self, end: int) -> list[Line | Problem]:
        broken = self._broken(end)
        if self._wanted is None:
            found = self._all_lines(end)
        else:
            found = self._wanted_lines(self._wanted, end)
        if not broken:
            return list(found)
        told: list[Line | Problem] = [
            Problem(self._base + start, f"no whole line of JSON: {_shown(self._line(start))}")
            for start in broken
        ]
        sound = [line for line in found if line.text - self._base not in broken]
        return sorted([*told, *sound], key=lambda item: item.text)

    def _wanted_lines(self, wanted: re.Pattern[bytes], end: int) -> Iterator[Line]:
        buffer = self._buffer
        after = 0
        for start in [match.start() for match in wanted.finditer(buffer, 0, end)]:
            if start < after:
                continue
            first = buffer.rfind(b"\n", 0, start) + 1
            after = buffer.index(b"\n", start) + 1
            yield Line(self._base + first, bytes(buffer[first : after - 1]))

    def _all_lines(self, end: int) -> Iterator[Line]:
        start = 0
        for data in bytes(self._buffer[: end - 1]).split(b"\n"):
            if data and not data.isspace():
                yield Line(self._base + start, data)
            start += len(data) + 1

    def _broken(self, end: int) -> set[int]:
        """Where lines begin that are neither empty nor in braces."""
        suspects = [match.start() for match in _SUSPECT.finditer(self._buffer, 0, end - 1)]
        starts = {start for at in suspects for start in (self._line_start(at), at + 1)}
        # The ends of the buffer have a neighbour on one side only.
        starts |= {0, self._line_start(end - 1)}
        return {start for start in starts if not _is_sound(self._line(start))}

    def _line_start(self, end: int) -> int:
        return self._buffer.rfind(b"\n", 0, end) + 1

    def _line(self, start: int) -> bytes:
        return bytes(self._buffer[start : self._buffer.index(b"\n", start)])


def _is_sound(line: bytes) -> bool:
    bare = line.strip()
    return not bare or (bare.startswith(b"{") and bare.endswith(b"}"))


def _shown(line: bytes) -> str:
    text = line[:40].decode("utf-8", "replace")
    return repr(text + ("…" if len(line) > 40 else ""))
