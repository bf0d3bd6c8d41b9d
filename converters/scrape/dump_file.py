"""Reads one dump file into a spool of its own: what a worker does.

The spool's cursor holds the place in the file and the report so far, so that a file that was
interrupted goes on within it. Files know nothing of each other; `dump` puts them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from converters.provenance import replacing
from converters.scrape.dump_reader import Line, LineReader, Place, Problem
from converters.scrape.dump_records import NotARecord, is_pinned, post_of, row_of, was_deleted
from converters.scrape.filters import Filters, Sieve
from converters.scrape.posts import Post
from converters.scrape.spool import Spool

_PAGE = 5000
"""Records after which they are made durable."""
_SECONDS = 2.0
"""And the time after which they are, if there were fewer."""
_TOLD = 200
"""Problems of one file that are kept word for word; the rest are counted."""


class FileJob(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a job."""

    path: str
    part: str
    """Where the spool's file is to lie."""
    bytes: int
    filters: Filters
    join: bool
    """Comments are for their submissions: filters are not asked about them, but the subreddits."""
    salt: str = ""
    """Hexadecimal; empty where authors are dropped."""


class FileReport(msgspec.Struct, kw_only=True):
    """What became of one file."""

    kept: int = 0
    drops: dict[str, int] = {}
    problems: list[Problem] = []
    """The first 200."""
    damaged: int = 0
    """All problems."""
    text: int = 0
    """Bytes of unpacked text."""

    def drop(self, reason: str) -> None:
        """Count a record that was not kept."""
        self.drops[reason] = self.drops.get(reason, 0) + 1

    def tell(self, problem: Problem) -> None:
        """Count what could not be read."""
        self.damaged += 1
        if len(self.problems) < _TOLD:
            self.problems.append(problem)


class _Cursor(msgspec.Struct):
    place: Place = Place()
    packed: int = 0
    """Bytes of the file that were read."""
    taken: int = 0
    """Records given to the spool, which leaves doubles out."""
    report: FileReport = msgspec.field(default_factory=FileReport)


class Amount(msgspec.Struct, frozen=True):
    """How much of something was read."""

    packed: int = 0
    """Bytes of the file as it lies on the disk."""
    text: int = 0
    """Bytes of unpacked text."""
    kept: int = 0
    """Records."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.packed + other.packed, self.text + other.text, self.kept + other.kept)


Told = Callable[[Amount], None]
"""Told what was read before at first, and then what is by now."""


def report_path(part: Path) -> Path:
    """Where the report lies of the file that was collected in `part`."""
    return part.with_name(part.name + ".report.json")


def read_file(job: FileJob, told: Told) -> FileReport:
    """Collect a file's records, from where the last run stopped; nothing if it is done already."""
    part = Path(job.part)
    about = msgspec.to_builtins(job)
    # Neither the way to the file nor the salt are what is collected, and the salt stays secret.
    about |= {"path": Path(job.path).name, "part": part.name, "salt": ""}
    with Spool(part, about, "jsonl") as spool:
        if not spool.done:
            report = _FileRun(job, spool, told).run()
            with replacing(report_path(part)) as path:
                path.write_bytes(msgspec.json.encode(report))
        spool.finish()
    report = msgspec.json.decode(report_path(part).read_bytes(), type=FileReport)
    told(Amount(job.bytes, report.text, report.kept))
    return report


class _FileRun:
    def __init__(self, job: FileJob, spool: Spool, told: Told) -> None:
        self._job = job
        self._path = Path(job.path)
        self._spool = spool
        self._told = told
        self._sieve = Sieve(job.filters)
        self._salt = bytes.fromhex(job.salt)
        name = self._path.name.upper()
        self._is_comment = {"RC_": True, "RS_": False}.get(name[:3])
        self._cursor = msgspec.convert(spool.cursor, _Cursor)
        self._page: list[Post] = []
        self._saved = time.monotonic()

    def run(self) -> FileReport:
        reader = LineReader(self._path, self._job.filters.subreddits)
        report = self._cursor.report
        self._tell()
        for found in reader.read(self._cursor.place):
            match found:
                case Line():
                    self._line(found)
                case Problem():
                    report.tell(found)
                case Place():
                    self._cursor.place = found
                    report.text = found.text
                    self._cursor.packed = max(self._cursor.packed, reader.packed)
                    self._save()
        if not report.text and not report.damaged:
            report.tell(Problem(0, "the file is empty: there is no record in it"))
        self._save(at_once=True)
        report.kept = self._spool.count
        if doubles := self._cursor.taken - report.kept:
            report.drops["double"] = doubles
        return report

    def _line(self, line: Line) -> None:
        report = self._cursor.report
        try:
            row = row_of(line.data)
            if not self._sieve.is_wanted(str(row.subreddit or "")):
                return  # as the millions that the reader passed over; no drop
            post = post_of(row, self._path.name, self._salt, self._is_comment)
        except NotARecord as error:
            report.tell(Problem(line.text, str(error)))
            return
        if was_deleted(row):
            report.drop("deleted")
            return
        if self._job.join and post.kind == "comment":
            if is_pinned(row):
                report.drop("pinned")
            elif post.parent not in ("", post.thread):
                report.drop("answer to a comment")
            else:
                self._page.append(post)
            return
        if reason := self._sieve.check(post):
            report.drop(reason)
            return
        kept = self._sieve.with_language(post)
        if kept is None:
            report.drop("language")
        else:
            self._page.append(kept)

    def _save(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and len(self._page) < _PAGE and now - self._saved < _SECONDS:
            return
        self._cursor.taken += len(self._page)
        cursor: dict[str, Any] = msgspec.to_builtins(self._cursor)
        self._spool.append(self._page, cursor)
        self._page.clear()
        self._saved = now
        self._tell()

    def _tell(self) -> None:
        self._told(Amount(self._cursor.packed, self._cursor.report.text, self._spool.count))
