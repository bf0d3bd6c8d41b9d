"""One run at a time in an output folder: the lock that a preparation holds while it works.

The lock is a file in the work folder, and ends with the process, so what is left of a killed run
never stands in the way. It keeps off runs on this machine, and on others if their file system
shares locks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.errors import DataError
from converters.locking import locked

LOCK = "lock"


@contextmanager
def claimed(work: Path) -> Iterator[None]:
    """Hold the work folder, which is made. Raises DataError if another run holds it."""
    while True:
        work.mkdir(parents=True, exist_ok=True)
        with (work / LOCK).open("ab") as stream:
            if not locked(stream):
                raise DataError(
                    f"Another run is at work in {work.parent}.",
                    "Wait until it is done, or name another folder: --out FOLDER",
                )
            # The run that held it may have finished, and removed what was just locked.
            if _is_at(work / LOCK, os.fstat(stream.fileno())):
                yield
                return


def _is_at(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), file)
    except FileNotFoundError:
        return False
