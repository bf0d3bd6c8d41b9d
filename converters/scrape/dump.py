"""Collects records from dump files: each file by itself, then all of them together.

    OUT.work/0000.jsonl...   the spools of the files, in the order of the command line
    OUT.part, OUT.state.json the spool of the whole

Every step can be killed and goes on with the next run; the output is the same whatever the number
of workers and of interruptions.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import DataError
from converters.extras import require
from converters.scrape.dump_file import FileJob, FileReport
from converters.scrape.dump_merge import merge
from converters.scrape.dump_progress import Progress
from converters.scrape.dump_workers import read_files
from converters.scrape.filters import Filters, Sieve
from converters.scrape.formats import Format
from converters.scrape.spool import Spool
from converters.scrape.things import new_salt

_SHOWN = 20
"""Problems of a file that are told one by one."""
SUFFIXES = (".zst", ".jsonl", ".ndjson", ".json", ".gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpJob:
    """What is to be collected, from where and whither."""

    files: tuple[Path, ...]
    out: Path
    format: Format
    filters: Filters
    comments: int = 0
    """Best comments that each submission takes along; with 0, comments are their own records."""
    hash_authors: bool = False
    workers: int = 1


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    count: int
    """Records."""
    done_before: bool = False
    reports: list[FileReport] = field(default_factory=list)
    """Of each file, in the job's order."""
    problems: list[str] = field(default_factory=list)
    """What could not be read, in lines for people."""
    doubles: int = 0

    def drops(self) -> dict[str, int]:
        """How many records were dropped, by reason."""
        total: dict[str, int] = {}
        for report in self.reports:
            for reason, count in report.drops.items():
                total[reason] = total.get(reason, 0) + count
        if self.doubles:
            total["double"] = total.get("double", 0) + self.doubles
        return dict(sorted(total.items()))


def collect(job: DumpJob, progress: Progress) -> Outcome:
    """Do the job, or what is left of it. Raises UsageError and DataError."""
    sizes = [_size_of(path) for path in job.files]
    Sieve(job.filters)
    with Spool(job.out, _about(job, sizes), job.format) as spool:
        work = job.out.with_name(job.out.name + ".work")
        if spool.done:
            spool.finish()
            shutil.rmtree(work, ignore_errors=True)
            return Outcome(spool.count, done_before=True, problems=spool.problems)
        if not spool.cursor:  # what lies there is of a job that was given up
            shutil.rmtree(work, ignore_errors=True)
        salt = _salt(spool, job)
        jobs = [
            FileJob(
                path=str(path),
                part=str(work / f"{number:04d}.jsonl"),
                bytes=size,
                filters=job.filters,
                join=bool(job.comments),
                salt=salt,
            )
            for number, (path, size) in enumerate(zip(job.files, sizes, strict=True))
        ]
        reports = read_files(jobs, job.workers, progress.read)
        total = sum(report.kept for report in reports)
        doubles = merge(
            [Path(file.part) for file in jobs],
            job.comments,
            spool,
            salt,
            lambda read: progress.merged(read, total),
        )
        problems = [
            line
            for path, report in zip(job.files, reports, strict=True)
            for line in _problems(path, report)
        ]
        spool.finish(problems)
        shutil.rmtree(work)
        return Outcome(spool.count, False, reports, problems, doubles)


def _problems(path: Path, report: FileReport) -> list[str]:
    lines = [f"{path.name}, {problem}" for problem in report.problems[:_SHOWN]]
    if report.damaged > len(lines):
        lines.append(f"{path.name}: {report.damaged - len(lines)} more of this kind")
    return lines


def _size_of(path: Path) -> int:
    """The file's bytes. Raises DataError for what is no dump file."""
    if not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path} is of no known kind.", f"Known endings: {', '.join(SUFFIXES)}.")
    if path.name.lower().endswith(".zst"):
        require("data", "zstandard")
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not size:
        raise DataError(f"{path} is empty: there is no record in it.", "Leave it out.")
    return size


def _about(job: DumpJob, sizes: Sequence[int]) -> dict[str, Any]:
    return {
        "command": "scrape dump",
        "files": [[path.name, size] for path, size in zip(job.files, sizes, strict=True)],
        "filters": msgspec.to_builtins(job.filters),
        "comments": job.comments,
        "hash_authors": job.hash_authors,
    }


def _salt(spool: Spool, job: DumpJob) -> str:
    """The salt of this job, hexadecimal: new, or the one that an interrupted run began with."""
    if not spool.cursor:
        spool.append([], {"salt": new_salt() if job.hash_authors else ""})
    return str(spool.cursor["salt"])
