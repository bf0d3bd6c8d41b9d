"""A real pseudo-terminal with the real program in it, and a screen that can be read."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable
from types import TracebackType

import pexpect
import pyte

ROWS, COLUMNS = 45, 140


class Terminal:
    """Runs `oa-chat` with these arguments. Use as a context manager."""

    def __init__(self, *arguments: str, rows: int = ROWS, columns: int = COLUMNS) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "oa_chat", *arguments],
            dimensions=(rows, columns),
            # Explicit, since readline (which pytest loads) puts LINES and COLUMNS into the C
            # environment, where a child would find them.
            env=dict(os.environ),
            timeout=30,
        )
        self.process.delaybeforesend = None

    def __enter__(self) -> Terminal:
        """Wait for the first paint: what is typed before it is the terminal's, not the app's."""
        self.wait_for("Write a message")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.process.close(force=True)

    def text(self) -> str:
        """The screen as it is now."""
        self._read(0.05)
        return "\n".join(line.rstrip() for line in self._screen.display)

    def words(self) -> str:
        """The screen with runs of white space and of frames as single spaces."""
        return re.sub(r"[\s│╭╮╰╯─▌]+", " ", self.text())

    def type(self, keys: str) -> None:
        """Send keys. "\\r" is Enter."""
        self.process.send(keys)

    def wait_for(self, what: str | Callable[[str], bool], seconds: float = 30) -> str:
        """Wait until a text is on the screen (or a test of it is true), and return the screen."""
        test = what if callable(what) else lambda screen: what in screen
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if test(self.words()):
                return self.words()
            if not self.process.isalive():
                break
        raise AssertionError(f"{what!r} did not come up:\n{self.text()}")

    def leave(self) -> int:
        """Quit with Ctrl+Q and return the exit code."""
        self.type("\x11")
        with contextlib.suppress(pexpect.EOF):
            self.process.expect(pexpect.EOF, timeout=20)
        self.process.close()
        return int(self.process.exitstatus or 0)

    def _read(self, seconds: float) -> None:
        try:
            while True:
                self._stream.feed(self.process.read_nonblocking(65536, timeout=seconds))
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
