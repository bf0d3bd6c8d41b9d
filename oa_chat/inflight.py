"""A message on its way: the one mutable thing that `session` works on between two stored states.

Holds the turn, the reply's pieces, the running prefill and the times. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, TypeVar

from oa_chat.conversation import StopReason, Timing, Turn, WithdrawnReply
from oa_chat.engine.protocol import Done, Prefilled, Prompted
from oa_chat.events import Sending
from oa_chat.policy import Decision, one_rule
from oa_chat.verdict import Verdict

_T = TypeVar("_T")


class Withdrawn(Exception):
    """The message will not be sent: the policy blocks it, or the user took it back."""

    def __init__(self, decision: Decision, reason: StopReason, *, edit: bool = False) -> None:
        super().__init__(reason)
        self.decision = decision
        self.reason = reason
        self.edit = edit


class InFlight:
    """One message between `Saved` and its end."""

    def __init__(self, turn: Turn, started: float) -> None:
        self.turn = turn
        self.decision: Decision | None = None
        self.guideline = ""
        """What is sent along with the message."""
        self.ended = False
        self.reply: list[str] = []
        self.unsaved: list[str] = []
        self.saved = float("-inf")
        """When the reply was last written to disk."""
        self._started = started
        self._first_token: float | None = None
        self._prefill: asyncio.Task[Prefilled] | None = None
        self._prefilled: Prefilled | None = None
        self._prompt_tokens = 0

    # ------------------------------------------------------------ the prompt

    def start_prefill(self, task: asyncio.Task[Prefilled]) -> None:
        """The prompt is being evaluated from now on."""
        self._prefill = task

    async def finish_prefill(self) -> Prefilled:
        """Wait for the prompt's evaluation. Raises what went wrong there."""
        if self._prefill is None:
            raise RuntimeError("no prefill was started")
        self._prefilled = await asyncio.shield(self._prefill)
        return self._prefilled

    async def unless_prefill_fails(self, work: Awaitable[_T]) -> _T:
        """The result of some work; or what the prefill raises, if that comes first.

        A message that does not fit into the context need not wait for its verdict.
        """
        task = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {task}
        if self._prefill is not None:
            waiting.add(self._prefill)
        try:
            while not task.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    future.result()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def end_prefill(self) -> None:
        """Give up a prefill that still runs; what it says no longer matters."""
        if self._prefill is None:
            return
        self._prefill.cancel()
        await asyncio.wait({self._prefill})
        if not self._prefill.cancelled():
            self._prefill.exception()  # seen, and of no interest any more

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that were in the cache before this message."""
        return self._prefilled.cached if self._prefilled else 0

    @property
    def skipped_turns(self) -> int:
        """Old turns that had to be left out for this message."""
        return self._prefilled.skipped if self._prefilled else 0

    # ------------------------------------------------------------ the reply

    def take(self, text: str, now: float) -> None:
        """Take in new text of the reply."""
        if self._first_token is None:
            self._first_token = now
        self.reply.append(text)
        self.unsaved.append(text)

    def noted(self, verdict: Verdict, *, whole: bool) -> None:
        """Keep a verdict on the reply if it is the worst so far, or on the whole."""
        levels = [old.badness for old in self.turn.verdicts if old.subject == "reply"]
        if whole or verdict.badness > max(levels, default=-1):
            self.turn = replace(self.turn, verdicts=(*self.turn.verdicts, verdict))

    def also(self, rule: str) -> None:
        """Send this rule along as well, the next time."""
        if rule not in self.guideline:
            self.guideline = f"{self.guideline} {rule}".strip()

    def withdraw(self, unshown: int) -> WithdrawnReply:
        """Take back the reply and what the guard said about it; the turn keeps them aside."""
        said = [verdict for verdict in self.turn.verdicts if verdict.subject == "reply"]
        withdrawn = WithdrawnReply("".join(self.reply), (*said,), self.turn.sent or "", unshown)
        self.turn = replace(
            self.turn,
            verdicts=tuple(old for old in self.turn.verdicts if old.subject != "reply"),
            withdrawn=(*self.turn.withdrawn, withdrawn),
        )
        self.reply.clear()
        self.unsaved.clear()
        return withdrawn

    def sending(self, prompted: Prompted, skipped_turns: int) -> Sending:
        """The model starts to reply; `skipped_turns` is how many turns it does not see by now."""
        self._prompt_tokens = prompted.tokens
        return Sending(
            sent=self.turn.sent or "",
            guideline=one_rule(self.guideline),
            seen=prompted.tail,
            prompt_tokens=prompted.tokens,
            cached_tokens=self.cached_tokens,
            context=prompted.context,
            skipped_turns=skipped_turns,
            newly_skipped=self.skipped_turns + prompted.skipped,
        )

    def end(self, reason: StopReason, done: Done | None = None) -> Turn:
        """The turn in its final state."""
        self.turn = replace(
            self.turn, reply="".join(self.reply), stop_reason=reason, timing=self._timing(done)
        )
        self.ended = True
        return self.turn

    def _timing(self, done: Done | None) -> Timing:
        first = self._first_token
        return Timing(
            guard_ms=sum(old.latency_ms for old in self.turn.verdicts if old.subject == "message"),
            first_token_ms=0.0 if first is None else (first - self._started) * 1000,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self.cached_tokens,
            reply_tokens=done.tokens if done else 0,
            decode_ms=done.decode_ms if done else 0.0,
        )
