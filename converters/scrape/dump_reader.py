"""The lines of a dump file that may belong to wanted subreddits, with their places.

A line is looked at only by its bytes; what is not wanted is never decoded or parsed. Its own
subreddit stands behind the last ``"subreddit":"`` if no brace comes after that but the line's last
one: then the key is in no inner object. A text that quotes JSON cannot fool this, because quotes
inside a text are escaped. Where it does not hold, the line is searched for a wanted name in any
object, a crosspost's too, and whoever parses the line decides. Lines that do not begin with a
brace or end with one are found on the way, wanted or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from converters.unpacking import Gap, Start, unpack_from

LONGEST = 8 * 2**20
"""Bytes. Reddit's longest records are some hundred kB; a longer line is passed over."""
_READ = 2**20
_KEY = b'"subreddit":"'
_BRACES = (ord("{"), ord("}"))


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


class Names:
    """Subreddits to search for; their names are compared without case."""

    def __init__(self, subreddits: Iterable[str]) -> None:
        names = sorted({name.lower().encode("ascii", "replace") for name in subreddits})
        # A search is quickest for what begins with a rare letter: what stands before that is
        # looked at afterwards.
        self._anywhere = re.compile(
            rb'breddit"(?<="subreddit")\s*:\s*"(?i:' + b"|".join(map(re.escape, names)) + rb')"'
        )
        self._quoted = tuple(name + b'"' for name in names)
        self._longest = max(map(len, self._quoted), default=0)
        self._first = frozenset(b"".join(name[:1] + name[:1].upper() for name in names))

    def lines(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Begin and end of the lines in `text` that may be wanted or are in no braces.

        Every line of `text` ends with a newline.
        """
        find, rfind = text.find, text.rfind
        brace, last = _BRACES
        first = self._first
        start, size = 0, len(text)
        while start < size:
            end = find(b"\n", start)
            key = rfind(_KEY, start, end)
            if key > start and text[start] == brace and find(last, key, end) == end - 1:
                name = key + len(_KEY)
                if text[name] in first and self._is_wanted(text, name):
                    yield start, end
            elif not is_sound(text[start:end]) or self._anywhere.search(text, start, end):
                yield start, end
            start = end + 1

    def _is_wanted(self, text: bytes, name: int) -> bool:
        return text[name : name + self._longest].lower().startswith(self._quoted)


class LineReader:
    """Reads one file once, from a place."""

    def __init__(self, path: Path, subreddits: Iterable[str]) -> None:
        """For no subreddits, every line is handed out."""
        self._path = path
        self.packed = 0
        """Byte of the file up to which it was read."""
        names = tuple(subreddits)
        self._names = Names(names) if names else None
        self._rest = bytearray()
        """Of a line whose end has not come yet."""
        self._base = 0
        """Byte of the text at which that line begins."""
        self._long = 0
        """Bytes so far of a line that is too long, or 0."""
        self._starts: list[tuple[int, int]] = []
        """Of the frames that may still matter: byte of the text, byte of the file."""

    def read(self, place: Place) -> Iterator[Found]:
        """Lines and problems in order; a Place says that all before it were handed out."""
        self._base = place.frame
        to_skip = place.text - place.frame
        with self._path.open("rb", _READ) as file:
            file.seek(place.file)
            for event in unpack_from(file, self._path.name):
                self.packed = file.tell()
                match event:
                    case Start(offset):
                        self._starts.append((self._base + len(self._rest) + self._long, offset))
                    case Gap():
                        yield from self._gap(event)
                    case piece:
                        if to_skip:
                            passed = min(to_skip, len(piece))
                            to_skip -= passed
                            self._base += passed
                            piece = piece[passed:]
                        yield from self._take(piece)
        if self._long:
            yield self._end_of_long(0)
        if self._rest:
            size = len(self._rest)
            yield from self._lines(bytes(self._rest) + b"\n")
            self._base += size
        yield self._place()

    def _take(self, piece: bytes) -> Iterator[Found]:
        """Hand out the lines that end in a piece, and keep what comes behind them."""
        end = piece.rfind(b"\n") + 1
        if not end:
            if self._long:
                self._long += len(piece)
            else:
                self._rest += piece
        else:
            begin = 0
            if self._long:
                begin = piece.find(b"\n") + 1
                yield self._end_of_long(begin)
            text = b"".join((self._rest, memoryview(piece)[begin:end]))
            yield from self._lines(text)
            self._base += len(text)
            self._rest = bytearray(piece[end:])
            yield self._place()
        if len(self._rest) > LONGEST:
            self._long = len(self._rest)
            self._rest.clear()

    def _end_of_long(self, more: int) -> Problem:
        length = self._long + more
        told = Problem(self._base, f"a line of {length} bytes; the longest read is {LONGEST}")
        self._base += length
        self._long = 0
        return told

    def _gap(self, gap: Gap) -> Iterator[Found]:
        """Tell of a gap; a line that it cuts in two is lost with it."""
        if self._long:
            yield self._end_of_long(0)
        self._base += len(self._rest)
        self._rest.clear()
        yield Problem(self._base, gap.reason, gap.offset)

    def _place(self) -> Place:
        while len(self._starts) > 1 and self._starts[1][0] <= self._base:
            del self._starts[0]
        text, file = self._starts[0] if self._starts else (0, 0)
        return Place(self._base, file, text)

    def _lines(self, text: bytes) -> Iterator[Line | Problem]:
        """What is to be handed out of whole lines that begin at the base."""
        for start, end in self._names.lines(text) if self._names else _all_lines(text):
            line = text[start:end]
            if is_sound(line):
                yield Line(self._base + start, line)
            else:
                reason = f"no whole line of JSON: {_shown(line)}"
                yield Problem(self._base + start, reason)


def _all_lines(text: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of the lines that are not blank."""
    start = 0
    for line in text.split(b"\n"):
        end = start + len(line)
        if line and not line.isspace():
            yield start, end
        start = end + 1


def is_sound(line: bytes) -> bool:
    """Whether a line is in braces, or blank."""
    bare = line.strip()
    return not bare or (bare.startswith(b"{") and bare.endswith(b"}"))


def _shown(line: bytes) -> str:
    text = line[:40].decode("utf-8", "replace")
    return repr(text + ("…" if len(line) > 40 else ""))
