"""Checks of many clients: batched, bounded, never a pass for want of a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from oa_chat.conversation import Message
from oa_chat.serving.check_queue import CheckQueue, QueueLimits
from oa_chat.serving.refusal import HttpRefusal
from oa_chat.serving.remembered import Remembered, digest
from oa_chat.verdict import Severity, Stage, Verdict, unreadable
from tests.scripted import ScriptedGuard, verdict


class CountingGuard(ScriptedGuard):
    """Keeps the sizes of batches."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.batches: list[int] = []
        self.wrong = False

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        self.batches.append(len(conversations))
        await self.gate.wait()
        if self.wrong:
            raise ValueError("a bug")
        return [verdict(Severity(len(messages[-1].text) % 5)) for messages in conversations]


@asynccontextmanager
async def running(queue: CheckQueue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def one(text: str) -> list[list[Message]]:
    return [[Message("user", text)]]


async def test_what_waits_is_judged_together_and_everybody_gets_their_own() -> None:
    guard = CountingGuard()
    queue = CheckQueue(guard, QueueLimits(batch=16))
    async with running(queue):
        asked = [asyncio.create_task(queue.check_all(one("x" * n))) for n in range(1, 41)]
        await asyncio.sleep(0.01)
        assert queue.waiting == 40
        guard.gate.set()
        answers = await asyncio.gather(*asked)
    assert guard.batches == [16, 16, 8]
    assert [answer[0].severity for answer in answers] == [n % 5 for n in range(1, 41)]
    assert queue.waiting == 0


async def test_a_long_text_waits_alone() -> None:
    guard = CountingGuard()
    guard.gate.set()
    queue = CheckQueue(guard)
    async with running(queue):
        texts = ["short", "long " * 10_000, "brief"]
        await queue.check_all([[Message("user", text)] for text in texts])
    assert guard.batches == [1, 1, 1]


async def test_a_full_queue_says_when_to_come_back() -> None:
    guard = CountingGuard()
    queue = CheckQueue(guard, QueueLimits(most=3))
    async with running(queue):
        waiting = asyncio.create_task(queue.check_all([*one("a"), *one("aa"), *one("aaa")]))
        await asyncio.sleep(0.01)
        with pytest.raises(HttpRefusal) as refused:
            await queue.check_all(one("b"))
        assert refused.value.status == 429
        assert int(refused.value.headers["retry-after"]) >= 1
        guard.gate.set()
        await waiting
        assert len(await queue.check_all(one("b"))) == 1


async def test_who_gives_up_is_not_judged() -> None:
    guard = CountingGuard()
    queue = CheckQueue(guard, QueueLimits(batch=1))
    async with running(queue):
        first = asyncio.create_task(queue.check_all(one("a")))
        second = asyncio.create_task(queue.check_all(one("b")))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait({second})
        assert queue.waiting == 1
        guard.gate.set()
        await first
        await asyncio.sleep(0.01)
    assert guard.batches == [1]


async def test_waiting_too_long_is_no_pass() -> None:
    queue = CheckQueue(CountingGuard(), QueueLimits(wait=0.05))
    async with running(queue):
        (answer,) = await queue.check_all(one("a"))
    assert not answer.readable
    assert "within 0 seconds" in answer.failure


async def test_a_bug_in_the_guard_and_the_end_of_the_service_are_no_pass() -> None:
    guard = CountingGuard()
    guard.wrong = True
    guard.gate.set()
    queue = CheckQueue(guard)
    async with running(queue):
        (answer,) = await queue.check_all(one("a"))
        assert not answer.readable
        guard.gate.clear()
        asked = asyncio.create_task(queue.check_all(one("b")))
        await asyncio.sleep(0.01)
    (answer,) = await asked
    assert not answer.readable
    assert "stopped" in answer.failure


async def test_a_text_is_judged_once_in_a_batch_and_recalled_only_on_demand() -> None:
    guard = CountingGuard()
    queue = CheckQueue(guard, QueueLimits(batch=2))
    async with running(queue):
        first = asyncio.create_task(queue.check_all(one("a")))
        await asyncio.sleep(0.01)
        asked = [asyncio.create_task(queue.check_all(one(text))) for text in ("bb", "a", "bb", "c")]
        await asyncio.sleep(0.01)
        guard.gate.set()
        levels = [(await task)[0].severity for task in (first, *asked)]
        assert levels == [1, 2, 1, 2, 1]
        assert guard.batches == [1, 2, 1]
        (again,) = await queue.check_all(one("bb"), recall=1)
        assert (again.severity, again.latency_ms) == (2, 0.0)
        assert guard.batches == [1, 2, 1]
        await queue.check_all([*one("bb"), *one("bb")], recall=1)
    assert guard.batches == [1, 2, 1, 1]


async def test_a_failure_is_not_remembered() -> None:
    guard = CountingGuard()
    guard.wrong = True
    guard.gate.set()
    queue = CheckQueue(guard)
    async with running(queue):
        (failed,) = await queue.check_all(one("a"))
        guard.wrong = False
        (judged,) = await queue.check_all(one("a"), recall=1)
    assert (failed.readable, judged.readable) == (False, True)


def test_what_is_remembered_is_bounded_whole_and_about_one_conversation() -> None:
    memory = Remembered(most=2)
    hello = Message("user", "hello")
    texts: list[list[Message]] = [
        [hello],
        [Message("assistant", "hello")],
        [hello, Message("assistant", "x"), hello],
    ]
    keys = [digest(messages) for messages in texts]
    for key in keys[:2]:
        memory.keep(key, verdict(Severity.CASUAL))
    assert memory.get(keys[0])
    memory.keep(keys[2], verdict(Severity.CASUAL))
    assert [bool(memory.get(key)) for key in keys] == [True, False, True]
    broken = Stage("second", asked=True, why="unsure", failure="it broke")
    for failed in (
        unreadable("first", "it broke"),
        replace(verdict(Severity.CASUAL), stages=(broken,)),
    ):
        memory.keep(keys[1], failed)
    assert memory.get(keys[1]) is None
