"""Keeps two processes off one file: an advisory lock that ends with the process that holds it."""

from __future__ import annotations

import time
from typing import IO

from oa_chat.file_lock import try_lock

_PATIENCE = 3.0
"""Seconds. The workers of a run that was killed need a moment to notice."""


def locked(stream: IO[bytes], patience: float | None = None) -> bool:
    """Try to lock an open file until `patience` seconds (usually 3) are over; whether it worked.

    The lock goes with the closing of the file, and with the end of the process.
    """
    until = time.monotonic() + (_PATIENCE if patience is None else patience)
    while not try_lock(stream):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
