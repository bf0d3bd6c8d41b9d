"""Asks Reddit for everything in a file again, and takes out what is no longer there.

Each thing is judged by itself: a submission that is gone takes its own record, with the comments in
it, away; a comment that is gone vanishes from the submission's record, or with its own record; a
comment with a record of its own stays when only its submission is gone. Everything else in the file
stays as it is, columns that this project does not know included.

The answers are logged beside the file (FILE.refresh), so that a run that is ended goes on; the
file itself changes once, at the end.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from converters.errors import DataError
from converters.provenance import sha256_of
from converters.rows import Row, read_rows
from converters.scrape.things import reason_gone

UNKNOWN = "not known to Reddit"
"""The reason for a fullname that Reddit does not answer for."""
_BATCH = 100

Info = Callable[[list[str]], dict[str, dict[str, Any]]]
"""What Reddit says of at most 100 fullnames; unknown ones are missing."""


class _Head(msgspec.Struct):
    """The first line of the log."""

    sha256: str


class _Entry(msgspec.Struct):
    """A further line of the log: one batch."""

    asked: int
    gone: dict[str, str] = {}


class Log:
    """What Reddit has answered so far, for one state of a file; a context."""

    def __init__(self, file: Path) -> None:
        self.path = file.with_name(file.name + ".refresh")
        self.asked = 0
        """Fullnames that were answered for, in the order of the file."""
        self.gone: dict[str, str] = {}
        """Fullname to the reason."""
        head = msgspec.json.encode(_Head(sha256_of(file))) + b"\n"
        kept = self._read(head)
        try:
            self._stream: IO[bytes] = self.path.open("r+b" if kept else "w+b")
            self._stream.truncate(kept)
            self._stream.seek(0, os.SEEK_END)
            if not kept:
                self._write(head)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error}.") from error

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, asked: int, gone: dict[str, str]) -> None:
        """Keep the answers of one batch, on the disk."""
        try:
            self._write(msgspec.json.encode(_Entry(asked, gone)) + b"\n")
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error}.", "Make room, and run it again."
            ) from error
        self.asked += asked
        self.gone |= gone

    def remove(self) -> None:
        """Throw the log away."""
        self._stream.close()
        self.path.unlink(missing_ok=True)

    def _read(self, head: bytes) -> int:
        """Take up what an earlier run logged of the same file; how many bytes of it are sound."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        if not data.startswith(head):
            return 0
        sound = len(head)
        for line in data[sound:].splitlines(keepends=True):
            try:
                entry = msgspec.json.decode(line, type=_Entry)
            except msgspec.DecodeError:
                break
            if not line.endswith(b"\n"):
                break
            sound += len(line)
            self.asked += entry.asked
            self.gone |= entry.gone
        return sound

    def _write(self, line: bytes) -> None:
        self._stream.write(line)
        self._stream.flush()
        os.fsync(self._stream.fileno())


def names_of(row: Row, place: str) -> list[str]:
    """The fullnames of a record and of the comments in it. Raises DataError for no record."""
    names = [row.get("id"), *(comment.get("id") for comment in _comments(row, place))]
    sound = [name for name in names if isinstance(name, str) and name[:3] in ("t1_", "t3_")]
    if len(sound) < len(names):
        raise DataError(
            f'{place}: an id is no fullname of Reddit ("t3_..." or "t1_...").',
            "Only files that scrape wrote can be refreshed.",
        )
    return sound


def ask(file: Path, log: Log, info: Info, told: Callable[[int], None]) -> None:
    """Ask for everything in the file that the log has no answer for. `told` hears the number."""
    names = itertools.islice(_all_names(file), log.asked, None)
    while batch := list(itertools.islice(names, _BATCH)):
        answers = info(list(dict.fromkeys(batch)))
        gone = {name: UNKNOWN for name in batch if name not in answers}
        for name, thing in answers.items():
            if reason := reason_gone(thing):
                gone[name] = _WORDS[reason]
        log.add(len(batch), gone)
        told(log.asked)


_WORDS = {"deleted": "deleted by the author", "removed": "removed by others"}


def kept_rows(file: Path, gone: dict[str, str], counts: collections.Counter[str]) -> Iterator[Row]:
    """The rows that stay, without the comments that do not; what happened is counted.

    Keys of `counts`: "records", "comments", and a reason behind "record: " or "comment: ".
    """
    for number, row in read_rows(file):
        comments = _comments(row, f"{file}, record {number}")
        if reason := gone.get(row["id"], ""):
            counts[f"record: {reason}"] += 1
            continue
        counts["records"] += 1
        stay = []
        for comment in comments:
            if reason := gone.get(comment["id"], ""):
                counts[f"comment: {reason}"] += 1
            else:
                stay.append(comment)
        counts["comments"] += len(stay)
        yield row if len(stay) == len(comments) else row | {"comments": stay}


def write_rows(file: Path, rows: Iterable[Row], target: Path) -> None:
    """Write rows of `file` to `target` in the file's own format."""
    name = file.name.lower()
    if name.endswith(".parquet"):
        _write_parquet(file, rows, target)
        return
    with contextlib.ExitStack() as stack:
        stream: Any = stack.enter_context(target.open("wb"))
        if name.endswith(".zst"):
            import zstandard

            packer = zstandard.ZstdCompressor(level=10, write_checksum=True)
            stream = stack.enter_context(packer.stream_writer(stream, closefd=False))
        for row in rows:
            stream.write(msgspec.json.encode(row) + b"\n")


def _write_parquet(file: Path, rows: Iterable[Row], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    left = iter(rows)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        while group := list(itertools.islice(left, 20_000)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _all_names(file: Path) -> Iterator[str]:
    for number, row in read_rows(file):
        yield from names_of(row, f"{file}, record {number}")


def _comments(row: Row, place: str) -> list[Row]:
    found = row.get("comments") or []
    if not isinstance(found, list) or not all(isinstance(comment, dict) for comment in found):
        raise DataError(f"{place}: its comments are no list of comments.")
    return found
