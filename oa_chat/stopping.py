"""The switch behind Esc: waits for work, unless the user stops first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_T = TypeVar("_T")


class StopRequested(Exception):
    """The user pressed stop before the reply began."""


class StopSwitch:
    """Set by the user, cleared when a message has ended."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Stop what waits here, and what will wait until `clear`."""
        self._event.set()

    def clear(self) -> None:
        """Let the next message go its way."""
        self._event.clear()

    def is_set(self) -> bool:
        """Whether the user wants the running message to end."""
        return self._event.is_set()

    async def unless_set(self, work: Awaitable[_T]) -> _T:
        """The result of some work. Raises StopRequested, and cancels it, if the user stops."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in (task, stop):
                future.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)
        if self.is_set():
            raise StopRequested
        return task.result()
