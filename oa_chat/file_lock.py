"""An advisory lock on an open file, on every system. It ends with the process that holds it.

How long to wait for it is the caller's matter.
"""

from __future__ import annotations

import contextlib
import sys
from typing import IO

if sys.platform == "win32":  # pragma: no cover - the other platform's branch
    import msvcrt

    def try_lock(stream: IO[bytes]) -> bool:
        """Lock an open file; whether nobody else holds it."""
        # A byte far behind the content: Windows keeps others from reading what is locked.
        stream.seek(2**62)
        with contextlib.suppress(OSError):
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            return True
        return False
else:
    import fcntl

    def try_lock(stream: IO[bytes]) -> bool:
        """Lock an open file; whether nobody else holds it."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False
