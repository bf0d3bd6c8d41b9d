"""Reads a reply with the guard while the model writes it: part by part, and the whole at last.

At most one check runs; what comes meanwhile becomes the next part. A check is followed by a pause
in proportion to what it took, so that guard and model can share a machine. What a verdict means is
`reply_rules`' matter, what is shown `replying`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.guards.guard import Guard
from oa_chat.reply_parts import BEFORE, part_end, window
from oa_chat.verdict import Verdict

_PAUSE_SHARE = 9.0
"""Pause after a check, in times of its duration: a tenth of one core at most goes to the guard."""


@dataclass(frozen=True, slots=True)
class Read:
    """A check that is done."""

    verdict: Verdict
    end: int
    """Characters of the reply up to which it has been read now."""
    whole: bool
    """Whether it was the check of the whole reply, at its end."""


class ReplyCheck:
    """The guard's way through one reply."""

    def __init__(
        self,
        guard: Guard,
        context: Sequence[Message],
        tell: Callable[[Read | BaseException | None], None],
        longest_pause: float,
    ) -> None:
        """`context` ends with the user's message.

        `tell` gets each result; an exception if the guard raised one; and None when a pause ends.
        `longest_pause` is in seconds.
        """
        self._guard = guard
        self._context = list(context)
        self._tell = tell
        self._longest_pause = longest_pause
        self._pieces: list[str] = []
        self._unread = ""
        self._before = ""
        """The last characters that have been read."""
        self._end = 0
        self._task: asyncio.Task[Verdict] | None = None
        self._pause: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a check runs."""
        return self._task is not None

    def add(self, text: str) -> None:
        """Take in new text, and read a part if one is complete."""
        self._pieces.append(text)
        self._unread += text
        self.go_on()

    def go_on(self) -> None:
        """Begin the next check, if there is a part to read and nothing to wait for."""
        if self.busy or self._pause is not None:
            return
        if size := part_end(self._unread):
            self._read(size, whole=False)

    def finish(self) -> bool:
        """Begin the check of the whole reply. False if there are no words to read."""
        if not "".join(self._pieces).strip():
            return False
        self._read(len(self._unread), whole=True)
        return True

    async def close(self) -> None:
        """Give up what still runs."""
        if self._pause is not None:
            self._pause.cancel()
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task})

    def _read(self, size: int, *, whole: bool) -> None:
        part = self._unread[:size]
        text = "".join(self._pieces) if whole else window(self._before, part)
        self._unread = self._unread[size:]
        self._before = (self._before + part)[-2 * BEFORE :]
        self._end += size
        messages = [*self._context, Message("assistant", text)]
        task = asyncio.create_task(self._checked(messages))
        self._task, started, end = task, time.perf_counter(), self._end

        def done(ended: asyncio.Task[Verdict]) -> None:
            if self._task is not ended:
                return  # closed meanwhile
            self._task = None
            if ended.cancelled():
                self._tell(asyncio.CancelledError())
            elif error := ended.exception():
                self._tell(error)
            else:
                self._rest(time.perf_counter() - started)
                self._tell(Read(ended.result(), end, whole))

        task.add_done_callback(done)

    async def _checked(self, messages: Sequence[Message]) -> Verdict:
        return await self._guard.check(messages, subject="reply")

    def _rest(self, took: float) -> None:
        pause = min(took * _PAUSE_SHARE, self._longest_pause)

        def over() -> None:
            self._pause = None
            self._tell(None)

        self._pause = asyncio.get_running_loop().call_later(pause, over)
