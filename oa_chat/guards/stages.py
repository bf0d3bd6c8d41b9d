"""Two guards as one: a fast one reads everything, a second one what the settings send to it.

    unsure    the first gave no verdict, is unsure whether the text is casual, does not say how sure
              it is, or does not know the language of the text
    flagged   the first gave no verdict, or flagged the text
    always    everything

`asks_second` and `combined` are pure, and they are the whole of it:

- Where the second guard was not asked, the first one's verdict counts.
- Where it was asked, its verdict counts; with "always" the worse of the two (the second one's, if
  the levels are equal).
- A guard that was asked last and gave no verdict leaves none: a text that the first one flagged, or
  was unsure about, does not pass because the second one failed. With "always" both have to answer.
  With the other two a failed first guard is made up for by the second.

So nothing becomes casual unless the guard that decides says exactly that. What each guard said and
what it cost stays in `Verdict.stages`; contradictions are kept, not smoothed over. This module runs
no model, and does not know which ones there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from oa_chat.conversation import Message
from oa_chat.engine.protocol import ModelInfo, OnProgress
from oa_chat.errors import OaChatError
from oa_chat.guards.guard import Guard
from oa_chat.verdict import Severity, Stage, Subject, Verdict, unreadable
from oa_chat.wording import percent

When = Literal["unsure", "flagged", "always"]
"""What the second guard reads."""
UNSURE_BETWEEN = (0.1, 0.9)
"""Probabilities of "casual" between which a guard is unsure: docs/guards.md has what this asks."""


@dataclass(frozen=True, slots=True)
class Staging:
    """When the second guard is asked."""

    when: When = "unsure"
    unsure_between: tuple[float, float] = UNSURE_BETWEEN
    """Probabilities, the lower one first; both belong to it."""


def asks_second(first: Verdict, staging: Staging) -> tuple[bool, str]:
    """Whether the second guard has to be asked, and why or why not, in a few words."""
    if staging.when == "always":
        return True, "both are always asked"
    if first.severity is None:
        return True, "the first gave no verdict"
    if staging.when == "flagged":
        return first.flagged, "the first flagged it" if first.flagged else "the first says casual"
    if not first.language_known:
        return True, "the first does not know the language"
    if first.probabilities is None:
        return True, "the first does not say how sure it is"
    casual, (low, high) = first.probabilities[Severity.CASUAL], staging.unsure_between
    unsure = not (casual < low or casual > high)
    return unsure, f"the first is {'unsure' if unsure else 'sure'} (casual {percent(casual)})"


def combined(
    first: Verdict, second: Verdict | None, staging: Staging, second_name: str = ""
) -> Verdict:
    """The verdict of both; `second` is None if and only if it was not asked."""
    _, why = asks_second(first, staging)
    if second is None:
        skipped = Stage(second_name, asked=False, why=why)
        return replace(first, stages=(_stage(first, "asked first", counts=True), skipped))
    counted = _counted(first, second, staging)
    stages = (
        _stage(first, "asked first", counts=counted is first),
        _stage(second, why, counts=counted is second),
    )
    if counted.severity is None:
        other = first if counted is second else second
        counted = replace(counted, failure=_failure(counted, other))
    return replace(counted, latency_ms=first.latency_ms + second.latency_ms, stages=stages)


def _counted(first: Verdict, second: Verdict, staging: Staging) -> Verdict:
    if staging.when == "always":
        return max(second, first, key=lambda verdict: verdict.badness)
    return second


def _failure(failed: Verdict, other: Verdict) -> str:
    said = "no verdict either" if other.severity is None else other.severity.words
    why = failed.failure or "no verdict"
    return f"{failed.guard}: {why} ({other.guard}: {said})"


def _stage(verdict: Verdict, why: str, *, counts: bool) -> Stage:
    return Stage(
        guard=verdict.guard,
        asked=True,
        why=why,
        severity=verdict.severity,
        certainty=verdict.certainty,
        latency_ms=verdict.latency_ms,
        failure=verdict.failure,
        counts=counts,
    )


class StagedGuard:
    """Two guards behind the interface of one; see `guard.Guard`.

    `load` loads the first one and starts to load the second one behind it; a second one that cannot
    be loaded is a failed guard only where it is asked. `later` is for whoever shows that loading.
    """

    def __init__(self, first: Guard, second: Guard, staging: Staging = Staging()) -> None:
        self.first = first
        self.second = second
        self.staging = staging
        self.later = _Later(first, second)

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first.name} + {self.second.name}"

    @property
    def info(self) -> ModelInfo | None:
        """The first guard's loaded model, or None before it is loaded."""
        return self.first.info

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the first guard; the second one follows in the background. Raises OaChatError."""
        try:
            return await self.first.load(on_progress)
        finally:
            self.later.start()

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        """The verdict on the last message in the light of the earlier ones."""
        first = await _ask(self.first, messages, subject)
        second = None
        if asks_second(first, self.staging)[0]:
            second = await _ask(self.second, messages, subject)
        return combined(first, second, self.staging, self.second.name)

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        """One verdict a conversation: one batch for the first guard, and one for the second."""
        firsts = await _ask_many(self.first, conversations)
        wanted = [at for at, said in enumerate(firsts) if asks_second(said, self.staging)[0]]
        answers = await _ask_many(self.second, [conversations[at] for at in wanted])
        seconds = dict(zip(wanted, answers, strict=True))
        return [
            combined(first, seconds.get(at), self.staging, self.second.name)
            for at, first in enumerate(firsts)
        ]

    async def close(self) -> None:
        """End both."""
        await self.later.stop()
        await asyncio.gather(self.first.close(), self.second.close())


class _Later:
    """Loads the second guard once, after the first one, for whoever asks."""

    def __init__(self, first: Guard, second: Guard) -> None:
        self._first, self._second = first, second
        self._started = asyncio.Event()
        self._task: asyncio.Task[ModelInfo] | None = None
        self._watcher: OnProgress | None = None

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Wait until the second guard is loaded. Raises OaChatError."""
        self._watcher = on_progress or self._watcher
        await self._started.wait()
        assert self._task is not None
        return await asyncio.shield(self._task)

    def start(self) -> None:
        """Begin in the background, unless it has begun and not failed."""
        done = self._task is not None and self._task.done()
        if self._task is None or (done and self._failed()):
            self._task = asyncio.create_task(self._second.load(self._report))
            # Its failure is for those who ask; without this Python complains if nobody does.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._started.set()

    async def stop(self) -> None:
        """End the loading."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, OaChatError):
                await self._task

    def _failed(self) -> bool:
        assert self._task is not None
        return self._task.cancelled() or self._task.exception() is not None

    def _report(self, done: int, total: int) -> None:
        if self._watcher:
            self._watcher(done, total)


async def _ask(guard: Guard, messages: Sequence[Message], subject: Subject) -> Verdict:
    try:
        return await guard.check(messages, subject)
    except OaChatError as error:
        return unreadable(guard.name, error.message, subject=subject)


async def _ask_many(guard: Guard, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
    if not conversations:
        return []
    try:
        return await guard.check_many(conversations)
    except OaChatError as error:
        return [unreadable(guard.name, error.message) for _ in conversations]
