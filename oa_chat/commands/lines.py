"""Lines of standard input for asyncio, read by a thread that nobody has to wait for.

`asyncio.to_thread(sys.stdin.readline)` would keep the program from leaving on Ctrl+C until one
more Enter. The thread here is a daemon and reads the file descriptor itself, so that it holds no
lock of the interpreter's own stdin at exit. Lines typed ahead are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading

_CHUNK = 65_536


class LineReader:
    """Standard input, line by line. One for each program, made where a loop runs."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None

    async def line(self) -> str | None:
        """The next line without its end; None when there are no more."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)
        return line

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(sys.stdin.fileno(), _CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self._put(line.removesuffix(b"\r").decode("utf-8", "replace"))
        if rest:
            self._put(rest.decode("utf-8", "replace"))
        self._put(None)

    def _put(self, line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
