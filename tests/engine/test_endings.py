"""Every way in which an engine's process can end, and that the next use works."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from oa_chat.engine.child import Child, condense, describe_end
from oa_chat.engine.process import Engine, Limits, Stream
from oa_chat.engine.protocol import (
    Answer,
    Cancel,
    Classify,
    Done,
    Piece,
    Prompted,
    Request,
    Segment,
)
from oa_chat.engine.worker import Inbox
from oa_chat.errors import EngineDied, EngineError, EngineSilent
from tests.engine.local import GREEDY, HELLO, LONG, text_of

MakeEngine = Callable[..., Engine]


async def _until_started(engine: Engine) -> int:
    while engine.pid is None:  # noqa: ASYNC110 - there is no event for this
        await asyncio.sleep(0.001)
    return engine.pid


async def test_a_second_cancellation_leaves_a_usable_engine(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192, limits=Limits(cancel=30))
    await engine.load()
    task = asyncio.create_task(text_of(engine, LONG))
    await asyncio.sleep(0.05)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)  # so that it cannot say that it has stopped
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await text_of(engine)


async def test_killed_while_loading(new_engine: MakeEngine) -> None:
    engine = new_engine()
    task = asyncio.create_task(engine.load())
    os.kill(await _until_started(engine), signal.SIGKILL)
    with pytest.raises(EngineDied, match=r"was killed \(SIGKILL\), maybe because memory ran out"):
        await task
    assert engine.info is None
    assert await text_of(engine)


async def test_killed_while_prefilling(new_engine: MakeEngine) -> None:
    engine = new_engine()
    await engine.load()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    task = asyncio.create_task(engine.prefill(HELLO))
    await asyncio.sleep(0.01)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="SIGKILL") as caught:
        await task
    assert "loaded again" in caught.value.hint
    assert (await engine.prefill(HELLO)).cached == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGKILL, r"was killed \(SIGKILL\)"), (signal.SIGSEGV, r"crashed \(SIGSEGV\)")],
)
async def test_killed_while_decoding(
    new_engine: MakeEngine, number: signal.Signals, said: str
) -> None:
    engine = new_engine(context=8192)
    answers = engine.reply(HELLO, LONG)
    while not isinstance(await anext(answers), Piece):
        pass
    assert engine.pid is not None
    os.kill(engine.pid, number)
    with pytest.raises(EngineDied, match=said):
        [answer async for answer in answers]
    assert await text_of(engine)


async def test_killed_while_idle(new_engine: MakeEngine) -> None:
    engine = new_engine()
    expected = await text_of(engine)
    assert engine.pid is not None
    psutil.Process(engine.pid).kill()
    with contextlib.suppress(EngineDied):  # whether it is known to be dead yet is a race
        assert await text_of(engine) == expected
    assert await text_of(engine) == expected


@pytest.mark.parametrize("moment", ["load", "reply", "complete"])
async def test_silence_ends_it(new_engine: MakeEngine, moment: str) -> None:
    engine = new_engine(limits=Limits(load=0.1, reply=0.1, guard=0.1))
    if moment != "load":
        engine._limits = Limits(reply=0.1, guard=0.1)
        await engine.load()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGSTOP)
        work = text_of(engine) if moment == "reply" else _complete(engine)
        task = asyncio.create_task(work)
    else:
        task = asyncio.create_task(text_of(engine))
        os.kill(await _until_started(engine), signal.SIGSTOP)
    with pytest.raises(EngineSilent, match="no sign of life for 0 seconds"):
        await task
    assert engine.pid is None
    engine._limits = Limits()
    assert await text_of(engine)


async def _complete(engine: Engine) -> str:
    return "".join([str(answer) async for answer in engine.complete([Segment("a")], GREEDY)])


async def _all_of(answers: Stream) -> list[Answer]:
    return [answer async for answer in answers]


async def test_a_stuck_engine_can_be_cancelled(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192, limits=Limits(cancel=0.2))
    seen: list[Answer] = []
    async for answer in engine.reply(HELLO, LONG):
        if isinstance(answer, Piece) and not any(isinstance(one, Piece) for one in seen):
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGSTOP)
            engine.cancel()
        seen.append(answer)
    done = seen[-1]
    assert isinstance(done, Done)
    pieces = [answer for answer in seen if isinstance(answer, Piece)]
    assert isinstance(seen[0], Prompted)
    assert (done.stop, done.tokens) == ("cancelled", sum(piece.tokens for piece in pieces))
    assert done.used == seen[0].tokens + done.tokens
    assert (engine.pid, engine.info) == (None, None)
    assert await text_of(engine)


async def test_an_engine_that_goes_on_talking_can_be_cancelled(
    new_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(context=20_000, limits=Limits(cancel=0.2))
    send = Child.send

    def deaf(self: Child, request: Request) -> None:
        if not isinstance(request, Cancel):
            send(self, request)

    monkeypatch.setattr(Child, "send", deaf)
    async for answer in engine.reply(HELLO, msgspec.structs.replace(LONG, max_tokens=19_000)):
        if isinstance(answer, Piece):
            engine.cancel()  # at every piece: only the first counts
    assert isinstance(answer, Done)
    assert answer.stop == "cancelled"
    assert engine.pid is None


async def test_a_stuck_prefill_that_is_cancelled_fails(new_engine: MakeEngine) -> None:
    engine = new_engine(limits=Limits(cancel=0.2))
    await engine.load()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    task = asyncio.create_task(engine.prefill(HELLO))
    await asyncio.sleep(0)
    engine.cancel()
    with pytest.raises(EngineSilent, match="did not stop"):
        await task
    assert await text_of(engine)


@pytest.mark.parametrize("started", [False, True])
async def test_cancelled_while_the_model_is_loaded_again(
    new_engine: MakeEngine, started: bool
) -> None:
    engine = new_engine(context=8192, limits=Limits(cancel=60))
    task = asyncio.create_task(_all_of(engine.reply(HELLO, LONG)))
    await asyncio.sleep(0)
    if started:
        await _until_started(engine)
    engine.cancel()
    *_, done = await task
    assert isinstance(done, Done)
    assert done.stop == "cancelled"  # not after 2000 tokens
    assert engine.pid is not None
    assert await text_of(engine)


async def test_cancelled_while_loading_is_stuck(new_engine: MakeEngine) -> None:
    engine = new_engine(limits=Limits(cancel=0.2))
    task = asyncio.create_task(_all_of(engine.reply(HELLO, LONG)))
    os.kill(await _until_started(engine), signal.SIGSTOP)
    engine.cancel()
    (done,) = await task
    assert isinstance(done, Done)
    assert (done.stop, done.tokens) == ("cancelled", 0)
    assert (engine.pid, engine.info) == (None, None)
    assert await text_of(engine)


async def test_loading_for_its_own_sake_is_not_cancelled(new_engine: MakeEngine) -> None:
    engine = new_engine(limits=Limits(cancel=0))
    task = asyncio.create_task(engine.load())
    await _until_started(engine)
    engine.cancel()
    assert (await task) == engine.info


async def test_closing(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    await engine.close()  # never started
    await engine.load()
    pid = engine.pid
    assert pid is not None
    await engine.close()
    assert not psutil.pid_exists(pid)
    assert (engine.info, engine.pid) == (None, None)
    assert await text_of(engine)


async def test_closing_ends_what_runs_and_what_waits(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    await engine.load()
    tasks = [asyncio.create_task(text_of(engine, LONG)) for _ in range(3)]
    await asyncio.sleep(0.05)
    await engine.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)  # none was read to its end
    assert all(isinstance(result, EngineError) for result in results)
    assert engine.pid is None


async def test_closing_while_it_starts(new_engine: MakeEngine) -> None:
    engine = new_engine()
    for wait in (0.0, 0.02):
        task = asyncio.create_task(engine.load())
        await asyncio.sleep(wait)
        await engine.close()
        with pytest.raises(EngineError):
            await task
        assert engine.pid is None


async def test_nothing_is_left_behind(new_engine: MakeEngine) -> None:
    async def round_trip() -> None:
        engine = new_engine()
        await engine.load()
        if engine.pid:
            os.kill(engine.pid, signal.SIGKILL)
        with contextlib.suppress(EngineDied):
            await engine.prefill(HELLO)
        await engine.load()
        await engine.close()

    await round_trip()
    me = psutil.Process()
    before = me.num_fds(), len(me.children())
    for _ in range(3):
        await round_trip()
    assert (me.num_fds(), len(me.children())) == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


_PARENT = """
import asyncio, sys
from pathlib import Path
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Piece, Sampling

async def main():
    engine = Engine(Path(sys.argv[1]), "causal", context=20_000)
    hot = Sampling(temperature=8.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=19_000)
    async for answer in engine.reply([Message("user", "Hello")], hot):
        if isinstance(answer, Piece):
            print(engine.pid, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_no_orphan_is_left(starter: Path, stopped: bool) -> None:
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(starter)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    if stopped:
        child.suspend()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


def test_a_cancellation_outlives_the_end_of_another_request() -> None:
    """A model that is loaded again for a request has the higher number of the two."""
    inbox = Inbox(io.BytesIO())
    for request in (Cancel(id=3), Classify(id=3, passages=[]), Cancel(id=3), Cancel(id=4)):
        inbox._take(msgspec.json.encode(request))
    inbox.forget(7)
    assert inbox.cancelled(3)()
    inbox.forget(3)
    assert not inbox.cancelled(3)()
    assert not inbox._cancelled  # nor is anything kept of requests that are not known


def test_how_processes_end() -> None:
    assert describe_end(None) == "closed its pipe"
    assert describe_end(3) == "ended unexpectedly (exit code 3)"
    assert "0xc0000005" in describe_end(0xC0000005)
    assert "check inside llama.cpp" in describe_end(-signal.SIGABRT)
    assert describe_end(-99) == "crashed (signal 99)"
    assert condense("a\n\n b \nc\nd\ne\n") == "b | c | d | e"
