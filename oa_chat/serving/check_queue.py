"""Checks of many clients at once: what waits while the guard works is judged together next.

The guard runs one batch at a time, and a batch of 32 costs less than 32 batches of one. What is in
a batch twice is judged once. Earlier messages may be answered from memory (`remembered`), what is
new never: a guard that hangs would pass for one that works. The queue is bounded, and so is how
long anyone waits; who waits too long gets an unreadable verdict, which no policy lets pass.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from oa_chat.conversation import Message
from oa_chat.errors import unexpected
from oa_chat.guards.guard import Guard
from oa_chat.serving.refusal import busy
from oa_chat.serving.remembered import Remembered, digest
from oa_chat.verdict import Verdict, unreadable

_SECONDS_PER_MEGABYTE = 120.0
"""What `LocalGuard` allows for long texts, on top of its limit."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait, and how long."""

    most: int = 1024
    """Texts that wait or are being judged."""
    batch: int = 32
    """Different texts that are judged together."""
    batch_characters: int = 20_000
    """A long text is judged in a batch of its own, so that short ones need not wait with it."""
    wait: float = 60.0
    """Seconds from asking to a verdict, for a short text."""


@dataclass(slots=True)
class _Job:
    messages: Sequence[Message]
    key: bytes
    recall: bool
    """Whether a remembered verdict will do."""
    verdict: asyncio.Future[Verdict] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class CheckQueue:
    """The guard, shared. `run` must run in a task of its own."""

    def __init__(self, guard: Guard, limits: QueueLimits = QueueLimits()) -> None:
        self._guard = guard
        self._limits = limits
        self._jobs: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._remembered = Remembered()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many texts wait or are being judged."""
        return sum(not job.verdict.done() for job in (*self._running, *self._jobs))

    async def check_all(
        self, conversations: Sequence[Sequence[Message]], recall: int = 0
    ) -> list[Verdict]:
        """The verdicts on the last messages; for the first `recall` a remembered one will do.

        Raises HttpRefusal if the queue is full.
        """
        jobs = [
            _Job(messages, digest(messages), at < recall)
            for at, messages in enumerate(conversations)
        ]
        new = [job for job in jobs if not self._recall(job)]
        if self.waiting + len(new) > self._limits.most:
            raise busy("the guard", 1)
        self._jobs.extend(new)
        self._wake.set()
        size = sum(_size(job) for job in new)
        limit = self._limits.wait + size / 1_000_000 * _SECONDS_PER_MEGABYTE
        try:
            async with asyncio.timeout(limit):
                return await asyncio.gather(*(job.verdict for job in jobs))
        except TimeoutError:
            failure = f"The guard gave no verdict within {limit:.0f} seconds."
            return [unreadable(self._guard.name, failure) for _ in jobs]
        finally:
            for job in jobs:  # nobody waits for these any more
                job.verdict.cancel()

    async def run(self) -> None:
        """Judge what comes, for ever. Cancelled, it leaves nobody waiting."""
        try:
            while True:
                await self._wake.wait()
                self._running = self._next_batch()
                if self._running:
                    await self._judge(self._running)
                    self._running = []
                else:
                    self._wake.clear()
        finally:
            self._fail([*self._running, *self._jobs], "The service is being stopped.")
            self._jobs.clear()

    def _next_batch(self) -> list[_Job]:
        """The oldest jobs that can be judged together, those about the same text among them."""
        batch: list[_Job] = []
        keys: set[bytes] = set()
        characters = 0
        while self._jobs:
            job = self._jobs[0]
            if not job.verdict.done() and not self._recall(job):
                if job.key not in keys:
                    characters += _size(job)
                    long = characters > self._limits.batch_characters
                    if len(keys) == self._limits.batch or (batch and long):
                        break
                keys.add(job.key)
                batch.append(job)
            self._jobs.popleft()
        return batch

    def _recall(self, job: _Job) -> bool:
        """Answer a job from memory, if that is possible."""
        verdict = self._remembered.get(job.key) if job.recall else None
        if verdict is not None:
            job.verdict.set_result(verdict)
        return verdict is not None

    async def _judge(self, batch: list[_Job]) -> None:
        different = {job.key: job.messages for job in batch}
        try:
            answers = await self._guard.check_many(list(different.values()))
            verdicts = dict(zip(different, answers, strict=True))
            for key, verdict in verdicts.items():
                self._remembered.keep(key, verdict)
            for job in batch:
                if not job.verdict.done():
                    job.verdict.set_result(verdicts[job.key])
        except Exception as error:  # noqa: BLE001 - a bug in the guard is not a pass
            self._fail(batch, unexpected(error).message)

    def _fail(self, jobs: Sequence[_Job], why: str) -> None:
        for job in jobs:
            if not job.verdict.done():
                job.verdict.set_result(unreadable(self._guard.name, why))


def _size(job: _Job) -> int:
    return len(job.messages[-1].text)
