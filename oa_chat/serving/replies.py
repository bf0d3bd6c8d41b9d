"""Replies under the guardrail: judged while they come, asked for once more, or ended.

The same `Attempt` as in the app reads along; the modes are the settings' (docs/replies.md). What a
client has been sent cannot be taken back, so a flagged reply ends where it stands. As long as
nothing has been sent, which is always so for an answer in one piece, the model is asked once more
with the rule as guideline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from oa_chat.conversation import Message
from oa_chat.engine.protocol import (
    Done,
    ModelInfo,
    OnProgress,
    Piece,
    Prefilled,
    Progress,
    Prompted,
    Sampling,
)
from oa_chat.errors import EngineError
from oa_chat.events import ReplyChecked, Token
from oa_chat.guards.guard import Guard
from oa_chat.policy import Policy, compose_sent
from oa_chat.reply_rules import GENERAL_RULE, ReplyMode, ReplyRules
from oa_chat.replying import Attempt, Judging
from oa_chat.serving.asked import Wanted
from oa_chat.serving.check_queue import CheckQueue
from oa_chat.serving.forwarding import ChatTarget, Ended, ReplyReport, Said, Usage
from oa_chat.serving.judging import Judgement
from oa_chat.stopping import StopSwitch
from oa_chat.verdict import Subject, Verdict

_LONGEST = 500_000
"""Characters of one reply: it waits in memory for the guard and for the client."""
_ENDED_FLAGGED = "The reply was withheld: the guard flagged it."
_ENDED_UNJUDGED = "The reply was withheld: the guard gave no verdict on it. Please try again."


@dataclass(frozen=True, slots=True)
class Replies:
    """Whoever replies, with the guard beside it."""

    target: ChatTarget
    guard: Guard
    policy: Policy
    rules: ReplyRules

    async def to(self, judgement: Judgement, wanted: Wanted) -> AsyncGenerator[Said | Ended, None]:
        """The reply to a judged conversation, as far as it may be seen. Ends with `Ended`."""
        mode = self.rules.mode_under(self.policy)
        if mode is ReplyMode.OFF:
            async with aclosing(self.target.reply(judgement.transcript, wanted)) as events:
                async for event in events:
                    yield event
            return
        judging = Judging(self.guard, judgement.typed, self.policy, self.rules, mode)
        transcript = judgement.transcript
        for again in (False, True):
            run = _Try(self.target, wanted, judging, again=again)
            async with aclosing(run.said(transcript)) as said:
                async for text in said:
                    yield text
            if run.flag is None or run.shown or again:
                yield run.ended()
                return
            guideline = _with(judgement.decision.guideline, run.flag.rule or GENERAL_RULE)
            sent = compose_sent(judgement.typed[-1].text, guideline)
            transcript = (*transcript[:-1], Message("user", sent))


def _with(guideline: str, rule: str) -> str:
    return guideline if rule in guideline else f"{guideline} {rule}".strip()


class _Try:
    """One try at a reply."""

    def __init__(
        self, target: ChatTarget, wanted: Wanted, judging: Judging, *, again: bool
    ) -> None:
        self._wanted = wanted
        self._again = again
        self._model = _AsBackend(target, wanted)
        self._attempt = Attempt(self._model, StopSwitch(), judging)
        self._checked: ReplyChecked | None = None
        self.shown = False
        """Whether the client has been sent any of it."""

    @property
    def flag(self) -> Verdict | None:
        """The verdict that ended it."""
        return self._attempt.flag

    async def said(self, transcript: Sequence[Message]) -> AsyncGenerator[Said, None]:
        """The reply's text; for an answer in one piece all at once, once it has passed."""
        collected: list[str] = []
        async with aclosing(self._attempt.run(transcript, self._wanted.sampling)) as events:
            async for event in events:
                if isinstance(event, ReplyChecked):
                    self._checked = event
                elif isinstance(event, Token):
                    if self._wanted.stream:
                        self.shown = True
                        yield Said(event.text)
                    else:
                        collected.append(event.text)
        if self._attempt.flag or self._attempt.unjudged:
            if self._attempt.unjudged or self.shown or self._again:
                yield Said(self._explanation())
        elif collected:
            yield Said("".join(collected))

    def ended(self) -> Ended:
        """How it ended."""
        report = None
        if self._checked:
            report = ReplyReport(self._checked.verdict, self._checked.action.value, self._again)
        if self._attempt.flag or self._attempt.unjudged:
            return Ended("content_filter", self._model.usage, report)
        return replace(self._model.ended, report=report)

    def _explanation(self) -> str:
        words = _ENDED_FLAGGED if self._attempt.flag else _ENDED_UNJUDGED
        return f"\n\n{words}" if self.shown else words


class _AsBackend:
    """A `ChatTarget` behind the seam that `Attempt` knows. Only `reply` is ever used."""

    info: ModelInfo | None = None

    def __init__(self, target: ChatTarget, wanted: Wanted) -> None:
        self._target = target
        self._wanted = wanted
        self.ended = Ended("stop")

    @property
    def usage(self) -> Usage | None:
        """What the reply cost, if it came to its end."""
        return self.ended.usage

    async def reply(
        self, messages: Sequence[Message], sampling: Sampling, skipped: int = 0
    ) -> AsyncGenerator[Prompted | Progress | Piece | Done, None]:
        """The target's reply; sampling and other wishes are in what was asked."""
        length = 0
        self.ended = Ended("length")
        async with aclosing(self._target.reply(messages, self._wanted)) as events:
            async for event in events:
                if isinstance(event, Ended):
                    self.ended = event
                    break
                yield Piece(id=0, text=event.text)
                length += len(event.text)
                if length >= _LONGEST:
                    break
        yield Done(id=0, stop="complete", tokens=0, prefill_ms=0, decode_ms=0, used=0)

    def cancel(self) -> None:
        """Closing the stream ends the work."""

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Not here: the target loads itself."""
        raise EngineError("There is nothing to load here.")

    async def prefill(
        self, messages: Sequence[Message], skipped: int = 0, max_tokens: int | None = None
    ) -> Prefilled:
        """Not here: other clients wait for the model."""
        raise EngineError("There is nothing to prefill here.")

    async def close(self) -> None:
        """Nothing to free."""


class QueuedGuard:
    """The guard behind the queue that all clients share."""

    def __init__(self, guard: Guard, checks: CheckQueue) -> None:
        self.name = guard.name
        self._guard = guard
        self._checks = checks

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model."""
        return self._guard.info

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model."""
        return await self._guard.load(on_progress)

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        """The verdict on the last message."""
        (verdict,) = await self._checks.check_all([messages])
        return replace(verdict, subject=subject)

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        """One verdict a conversation."""
        return await self._checks.check_all(conversations)

    async def close(self) -> None:
        """The guard belongs to the service."""
