"""Several dump files at once: a process for each, as many as there are workers.

A worker that was left alone (its parent was killed) ends at once and leaves its spool to the next
run. What one file becomes is `dump_file`'s matter.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import msgspec

from converters.errors import DataError
from converters.scrape.dump_file import Amount, FileJob, FileReport, read_file

Told = Callable[[int, Amount], None]
"""Told the number of a file, and how much of it is read."""


def read_files(jobs: Sequence[FileJob], workers: int, told: Told) -> list[FileReport]:
    """The reports of the files, in their order. One worker needs no process of its own."""
    if workers == 1 or len(jobs) == 1:
        return [
            read_file(job, lambda amount, number=number: told(number, amount))  # type: ignore[misc]
            for number, job in enumerate(jobs)
        ]
    return _Workers(jobs, told).run(workers)


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    process: SpawnProcess


class _Workers:
    def __init__(self, jobs: Sequence[FileJob], told: Told) -> None:
        self._jobs = jobs
        self._told = told
        self._waiting = list(range(len(jobs)))[::-1]
        self._working: dict[Connection, _Worker] = {}
        self._reports: dict[int, FileReport] = {}

    def run(self, workers: int) -> list[FileReport]:
        try:
            while self._waiting or self._working:
                while self._waiting and len(self._working) < workers:
                    self._start(self._waiting.pop())
                for connection in wait(list(self._working)):
                    assert isinstance(connection, Connection)
                    self._hear(connection)
        finally:
            for worker in self._working.values():
                worker.process.terminate()
            for worker in self._working.values():
                worker.process.join()
        return [self._reports[number] for number in range(len(self._jobs))]

    def _start(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(self._jobs[number], theirs), daemon=True)
        process.start()
        theirs.close()
        self._working[ours] = _Worker(number, process)

    def _hear(self, connection: Connection) -> None:
        worker = self._working[connection]
        try:
            said = connection.recv()
        except EOFError:
            said = None
        match said:
            case Amount():
                self._told(worker.number, said)
                return
            case bytes():
                self._reports[worker.number] = msgspec.json.decode(said, type=FileReport)
            case BaseException():
                raise said
            case _:
                worker.process.join()
                raise DataError(
                    f"The process that read {self._jobs[worker.number].path} ended "
                    f"(code {worker.process.exitcode}).",
                    "Run the same command again: it goes on where it stopped. If memory was "
                    "short, take fewer --workers.",
                )
        del self._working[connection]
        connection.close()
        worker.process.join()


def _work(job: FileJob, connection: Connection) -> None:
    """A worker's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        report = read_file(job, connection.send)
        connection.send(msgspec.json.encode(report))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is to tell
        connection.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
