"""One line on standard error that says how far a long collection is, and until when it waits.

On a terminal the line is renewed in place; elsewhere a line is printed now and then. This module
does not wait itself and does not count.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from oa_chat.printable import printable

if TYPE_CHECKING:
    from rich.status import Status

_EVERY = 10.0
"""Seconds between two lines where the line cannot be renewed."""


class Ticker:
    """Shows progress, waits and notes; a context, so that the line is gone at the end."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._status: Status | None = None
        self._printed = clock()

    def __enter__(self) -> Ticker:
        if self._stream.isatty():
            from rich.console import Console

            self._status = Console(file=self._stream).status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def at(self, text: str) -> None:
        """How far the work is."""
        if self._renewed(text):
            return
        if self._clock() - self._printed >= _EVERY:
            self.note(text)

    def waiting(self, reason: str, until: float) -> None:
        """Say that nothing happens before `until` (seconds since 1970), and why."""
        end = datetime.fromtimestamp(until).astimezone().strftime("%H:%M:%S")
        text = f"Waiting until {end}: {reason}."
        if not self._renewed(text):
            self.note(text)

    def note(self, text: str) -> None:
        """Say something that stays to be read."""
        line = printable(text)
        if self._status is not None:
            from rich.text import Text

            self._status.console.print(Text(line), soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)
            self._printed = self._clock()

    def _renewed(self, text: str) -> bool:
        if self._status is None:
            return False
        from rich.text import Text

        self._status.update(Text(printable(text).replace("\n", " ")))
        return True
