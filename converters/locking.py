"""Keeps two processes off one file: an advisory lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import IO

_PATIENCE = 3.0
"""Seconds. The workers of a run that was killed need a moment to notice."""


def locked(stream: IO[bytes], patience: float | None = None) -> bool:
    """Try to lock an open file until `patience` seconds (usually 3) are over; whether it worked.

    The lock goes with the closing of the file, and with the end of the process.
    """
    until = time.monotonic() + (_PATIENCE if patience is None else patience)
    while not _try(stream):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


if sys.platform == "win32":  # pragma: no cover - the other platform's branch
    import msvcrt

    def _try(stream: IO[bytes]) -> bool:
        # A byte far behind the content: Windows keeps others from reading what is locked.
        stream.seek(2**62)
        with contextlib.suppress(OSError):
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            return True
        return False
else:
    import fcntl

    def _try(stream: IO[bytes]) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False
