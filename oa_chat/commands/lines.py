"""Lines of standard input for asyncio, read by a thread that nobody has to wait for.

`asyncio.to_thread(sys.stdin.readline)` would keep the program from leaving on Ctrl+C until one
more Enter. The thread here is a daemon and reads the file descriptor itself, so that it holds no
lock of the interpreter's own stdin at exit. It reads ahead, but not without bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading

_CHUNK = 65_536
_AHEAD = 1024
"""Lines read ahead of whoever takes them."""


class LineReader:
    """Standard input, line by line. One for each program, made where a loop runs."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None
        self._ended = False

    async def text(self) -> str | None:
        """The next line as text, without its end; None when there are no more."""
        lines = await self.batch(1)
        return lines[0].removesuffix(b"\r").decode("utf-8", "replace") if lines else None

    async def batch(self, most: int) -> list[bytes]:
        """The lines that are waiting, at least one and at most `most`; none at the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        lines: list[bytes] = []
        while not self._ended and len(lines) < most and not (lines and self._lines.empty()):
            line = await self._lines.get()
            self._room.release()
            if line is None:
                self._ended = True
            else:
                lines.append(line)
        return lines

    def _read(self) -> None:
        if sys.stdin is None:  # closed before the program began
            self._put(None)
            return
        with contextlib.suppress(RuntimeError, OSError):  # the loop, or stdin, may be closed
            parts: list[bytes] = []
            while chunk := os.read(sys.stdin.fileno(), _CHUNK):
                first, *others = chunk.split(b"\n")
                parts.append(first)
                for other in others:
                    self._put(b"".join(parts))
                    parts = [other]
            if rest := b"".join(parts):
                self._put(rest)
            self._put(None)

    def _put(self, line: bytes | None) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
