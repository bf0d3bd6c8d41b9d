"""One try at a reply: the model writes, the guard reads beside it, and what may be shown is shown.

Knows the modes and nothing of storage: what happens with a reply that was flagged is the session's
matter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from oa_chat.backend import ChatBackend
from oa_chat.conversation import Message
from oa_chat.engine.protocol import Done, Piece, Progress, Prompted, Sampling
from oa_chat.events import ReplyChecked, ReplyHeld, Token
from oa_chat.guards.guard import Guard
from oa_chat.policy import Policy
from oa_chat.reply_check import Read, ReplyCheck
from oa_chat.reply_rules import ReplyAction, ReplyMode, ReplyRules, decide_reply
from oa_chat.stopping import StopSwitch
from oa_chat.verdict import Verdict

_LONGEST_PAUSE = {ReplyMode.STRICT: 2.0}
_USUAL_PAUSE = 30.0
"""Seconds between two checks at most: text that is held back should not wait for long."""

Said = Prompted | ReplyHeld | Token | ReplyChecked | Done
_News = Prompted | Progress | Piece | Done | Read | BaseException | None


@dataclass(frozen=True, slots=True)
class Judging:
    """How a reply is judged."""

    guard: Guard
    context: Sequence[Message]
    """The conversation as it was typed, up to the user's message."""
    policy: Policy
    rules: ReplyRules
    mode: ReplyMode


class Attempt:
    """One try. `run` says what happens; afterwards `flag` and `unjudged` say how it ended."""

    def __init__(self, chat: ChatBackend, stop: StopSwitch, judging: Judging | None) -> None:
        """None as `judging`: everything is shown as it comes."""
        self.flag: Verdict | None = None
        """The verdict for which the reply has to be withdrawn."""
        self.unjudged: Verdict | None = None
        """The failure for which a strict reply ends; else None."""
        self._chat = chat
        self._stop = stop
        self._judging = judging
        self._strict = judging is not None and judging.mode is ReplyMode.STRICT
        self._inbox: asyncio.Queue[_News] = asyncio.Queue()
        self._check: ReplyCheck | None = None
        if judging:
            pause = _LONGEST_PAUSE.get(judging.mode, _USUAL_PAUSE)
            self._check = ReplyCheck(judging.guard, judging.context, self._inbox.put_nowait, pause)
        self._held = ""
        self._shown = 0
        self._tokens = 0
        self._done: Done | None = None
        self._complete = False

    @property
    def unshown(self) -> int:
        """How many characters were written and never shown."""
        return len(self._held)

    async def run(
        self, transcript: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Said, None]:
        """The reply. Ends with `Done`, unless the guard ends it. Raises what the model raises."""
        listening = asyncio.create_task(self._listen(transcript, sampling))
        try:
            while not (self._complete or self.flag or self.unjudged):
                if self._stop.is_set():
                    self._chat.cancel()
                for said in self._take(await self._next()):
                    yield said
            if self._complete and self._done:
                yield self._done
        finally:
            if self._check:
                await self._check.close()
            listening.cancel()
            await asyncio.wait({listening})

    async def _listen(self, transcript: Sequence[Message], sampling: Sampling) -> None:
        """Pass on what the model says. Its errors come behind what it has said."""
        try:
            async with aclosing(self._chat.reply(transcript, sampling)) as answers:
                async for answer in answers:
                    self._inbox.put_nowait(answer)
        except Exception as error:  # noqa: BLE001 - raised again by whoever reads the inbox
            self._inbox.put_nowait(error)

    async def _next(self) -> _News:
        """What happens next. A user who stops ends the model, or the wait for the last check."""
        with contextlib.suppress(asyncio.QueueEmpty):
            return self._inbox.get_nowait()
        if self._done is None:
            return await self._inbox.get()
        return await self._stop.unless_set(self._inbox.get())

    def _take(self, news: _News) -> Iterator[Said]:
        match news:
            case BaseException():
                raise news
            case Prompted():
                yield news
            case Piece(text=text, tokens=tokens):
                yield from self._written(text, tokens)
            case Done():
                self._done = news
                self._go_on()
            case Read():
                yield from self._read(news)
            case _:
                self._go_on()

    def _written(self, text: str, tokens: int) -> Iterator[Said]:
        began = not self._held
        self._held += text
        self._tokens += tokens
        if not self._strict:
            yield self._show(len(self._held))
        elif began:
            yield ReplyHeld()
        if self._check:
            self._check.add(text)

    def _read(self, read: Read) -> Iterator[Said]:
        assert self._judging
        judging = self._judging
        action = decide_reply(
            read.verdict, judging.policy, judging.rules, judging.mode, whole=read.whole
        )
        if action is ReplyAction.WITHDRAW:
            self.flag = read.verdict
        elif action is ReplyAction.UNJUDGED and self._strict:
            self.unjudged = read.verdict
        yield ReplyChecked(read.verdict, action, read.whole)
        if self.flag or self.unjudged:
            return
        if self._strict and read.end > self._shown:
            yield self._show(read.end - self._shown)
            if self._held:
                yield ReplyHeld()
        self._complete = read.whole
        self._go_on()

    def _show(self, size: int) -> Token:
        text, self._held = self._held[:size], self._held[size:]
        tokens, self._tokens = self._tokens, 0
        self._shown += size
        return Token(text, tokens)

    def _go_on(self) -> None:
        """Read the next part; at the end the whole reply, unless the user stopped it."""
        if self._complete or (self._check and self._check.busy and not self._cancelled):
            return
        if self._check and self._done is None:
            self._check.go_on()
        elif self._done is not None:
            last = self._check and not self._cancelled and self._check.finish()
            self._complete = not last

    @property
    def _cancelled(self) -> bool:
        return self._done is not None and self._done.stop == "cancelled"
