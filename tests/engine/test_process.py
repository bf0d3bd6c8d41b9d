"""Engines in their processes: streams, cancelling, and every way in which a process can end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from oa_chat.conversation import Message
from oa_chat.engine.child import Child, condense, describe_end
from oa_chat.engine.process import Engine, Limits
from oa_chat.engine.protocol import Done, Piece, Progress, Prompted, Sampling, Segment
from oa_chat.errors import (
    EngineDied,
    EngineError,
    EngineSilent,
    ModelNotFound,
    ModelUnreadable,
    OaChatError,
    WrongModelKind,
)
from tests.engine.local import GREEDY, LONG, SYSTEM
from tests.engine.surgery import renamed_architecture

MakeEngine = Callable[..., Engine]
HELLO = [SYSTEM, Message("user", "Hello, how are you today?")]


async def _text(engine: Engine, sampling: Sampling = GREEDY) -> str:
    async with aclosing(engine.reply(HELLO, sampling)) as answers:
        return "".join([answer.text async for answer in answers if isinstance(answer, Piece)])


async def _until_started(engine: Engine) -> int:
    while engine.pid is None:  # noqa: ASYNC110 - there is no event for this
        await asyncio.sleep(0.001)
    return engine.pid


async def test_load_reports_and_is_idempotent(new_engine: MakeEngine) -> None:
    engine = new_engine()
    seen: list[tuple[int, int]] = []
    assert engine.info is None
    assert engine.pid is None
    first, second = await asyncio.gather(
        engine.load(lambda done, total: seen.append((done, total))), engine.load()
    )
    assert first == second == engine.info == await engine.load()
    assert first.name == "oa-chat starter"
    assert seen[-1] == (100, 100)
    assert engine.pid is not None


async def test_a_reply_streams(new_engine: MakeEngine) -> None:
    engine = new_engine()  # not loaded: the first use does that
    answers = [answer async for answer in engine.reply(HELLO, GREEDY)]
    assert isinstance(answers[0], Prompted)
    assert isinstance(answers[1], Progress)
    assert isinstance(answers[-1], Done)
    text = "".join(answer.text for answer in answers if isinstance(answer, Piece))
    assert text
    assert await _text(engine) == text
    assert (
        sum(answer.tokens for answer in answers if isinstance(answer, Piece)) == answers[-1].tokens
    )


async def test_prefill_then_reply(new_engine: MakeEngine) -> None:
    engine = new_engine()
    prefilled = await engine.prefill(HELLO)
    answers = [answer async for answer in engine.reply(HELLO, GREEDY, prefilled.skipped)]
    assert isinstance(answers[0], Prompted)
    assert answers[0].cached == prefilled.tokens


async def test_complete(new_engine: MakeEngine) -> None:
    answers = [
        answer async for answer in new_engine().complete([Segment("Once upon a time")], GREEDY)
    ]
    assert isinstance(answers[-1], Done)


async def test_requests_wait_for_each_other(new_engine: MakeEngine) -> None:
    engine = new_engine()
    texts = await asyncio.gather(*(_text(engine) for _ in range(5)))
    assert len(set(texts)) == 1


async def test_cancel_stops_soon(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    engine.cancel()  # nothing runs: nothing happens
    asked = 0.0
    async for answer in engine.reply(HELLO, LONG):
        if isinstance(answer, Piece) and not asked:
            asked = time.perf_counter()
            engine.cancel()
    took = time.perf_counter() - asked
    print(f"stopped after {took * 1000:.1f} ms")
    assert isinstance(answer, Done)
    assert answer.stop == "cancelled"
    assert took < 1


async def test_leaving_a_stream_cancels_it(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    pid = (await engine.load()) and engine.pid
    started = time.perf_counter()
    async with aclosing(engine.reply(HELLO, LONG)) as answers:
        async for answer in answers:
            if isinstance(answer, Piece):
                break
    assert time.perf_counter() - started < 1
    assert await _text(engine)
    assert engine.pid == pid


async def test_a_cancelled_task_cancels_its_request(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    await engine.load()
    pid = engine.pid
    for delay in (0.0, 0.001, 0.05):
        task = asyncio.create_task(_text(engine, LONG))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    prefill = asyncio.create_task(engine.prefill([SYSTEM, Message("user", "word " * 4000)]))
    await asyncio.sleep(0.02)
    prefill.cancel()
    with pytest.raises(asyncio.CancelledError):
        await prefill
    assert await _text(engine)
    assert engine.pid == pid


async def test_cancel_during_a_prefill(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    await engine.load()
    long = [SYSTEM, Message("user", "word and word " * 600)]
    task = asyncio.create_task(engine.prefill(long))
    await asyncio.sleep(0.02)
    engine.cancel()
    partial = await task
    whole = await engine.prefill(long)
    assert partial.tokens < whole.tokens
    assert whole.cached == partial.tokens


async def test_a_second_cancellation_leaves_a_usable_engine(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192, limits=Limits(cancel=30))
    await engine.load()
    task = asyncio.create_task(_text(engine, LONG))
    await asyncio.sleep(0.05)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)  # so that it cannot say that it has stopped
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _text(engine)


async def test_killed_while_loading(new_engine: MakeEngine) -> None:
    engine = new_engine()
    task = asyncio.create_task(engine.load())
    os.kill(await _until_started(engine), signal.SIGKILL)
    with pytest.raises(EngineDied, match=r"was killed \(SIGKILL\), maybe because memory ran out"):
        await task
    assert engine.info is None
    assert await _text(engine)


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


async def test_killed_while_decoding(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    answers = engine.reply(HELLO, LONG)
    while not isinstance(await anext(answers), Piece):
        pass
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSEGV)
    with pytest.raises(EngineDied, match=r"crashed \(SIGSEGV\)"):
        [answer async for answer in answers]
    assert await _text(engine)


async def test_killed_while_idle(new_engine: MakeEngine) -> None:
    engine = new_engine()
    expected = await _text(engine)
    assert engine.pid is not None
    psutil.Process(engine.pid).kill()
    with contextlib.suppress(EngineDied):  # whether it is known to be dead yet is a race
        assert await _text(engine) == expected
    assert await _text(engine) == expected


@pytest.mark.parametrize("moment", ["load", "reply", "complete"])
async def test_silence_ends_it(new_engine: MakeEngine, moment: str) -> None:
    engine = new_engine(limits=Limits(load=0.1, reply=0.1, guard=0.1))
    if moment != "load":
        engine._limits = Limits(reply=0.1, guard=0.1)
        await engine.load()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGSTOP)
        work = _text(engine) if moment == "reply" else _complete(engine)
        task = asyncio.create_task(work)
    else:
        task = asyncio.create_task(_text(engine))
        os.kill(await _until_started(engine), signal.SIGSTOP)
    started = time.perf_counter()
    with pytest.raises(EngineSilent, match="no sign of life"):
        await task
    assert time.perf_counter() - started < 5
    assert engine.pid is None
    engine._limits = Limits()
    assert await _text(engine)


async def _complete(engine: Engine) -> str:
    return "".join([str(answer) async for answer in engine.complete([Segment("a")], GREEDY)])


async def test_closing(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    await engine.close()  # never started
    await engine.load()
    pid = engine.pid
    assert pid is not None
    started = time.perf_counter()
    await engine.close()
    assert time.perf_counter() - started < 1
    assert not psutil.pid_exists(pid)
    assert (engine.info, engine.pid) == (None, None)
    assert await _text(engine)


async def test_closing_ends_what_runs_and_what_waits(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192)
    await engine.load()
    tasks = [asyncio.create_task(_text(engine, LONG)) for _ in range(3)]
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    await engine.close()
    assert time.perf_counter() - started < 1
    results = await asyncio.gather(*tasks, return_exceptions=True)
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
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()


async def test_files_that_are_no_chat_models(
    new_engine: MakeEngine, tmp_path: Path, starter: Path, guard_file: Path
) -> None:
    page = tmp_path / "page.gguf"
    page.write_text("<!doctype html>")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(starter.read_bytes()[:-1000])  # noqa: ASYNC240
    new = renamed_architecture(starter, tmp_path / "new.gguf", b"lamma")
    for path, kind, said in [
        (tmp_path / "none.gguf", ModelNotFound, "no model file"),
        (tmp_path, ModelUnreadable, "folder"),
        (page, ModelUnreadable, "web page"),
        (cut, ModelUnreadable, "bytes are missing"),
        (guard_file, WrongModelKind, "not a chat model"),
        (new, ModelUnreadable, "does not know the architecture 'lamma'"),
    ]:
        engine = new_engine(path)
        with pytest.raises(kind, match=said) as caught:
            await engine.load()
        assert caught.value.hint
        assert engine.pid is None


async def test_a_refusal_leaves_the_engine_running(new_engine: MakeEngine) -> None:
    engine = new_engine()
    await engine.load()
    pid = engine.pid
    for _ in range(2):
        with pytest.raises(OaChatError, match="needs"):
            await engine.prefill([Message("user", "word " * 600)])
        with pytest.raises(EngineError, match="Classify"):
            await engine.classify([])
    assert await _text(engine)
    assert engine.pid == pid


async def test_large_requests_and_nonsense_on_the_wire(new_engine: MakeEngine) -> None:
    engine = new_engine()
    await engine.load()
    with pytest.raises(OaChatError):
        await engine.prefill([Message("user", "\x00\ud7ff\U0010ffff" * 300_000)])
    child = engine._child
    assert child is not None
    stdin = child._process.stdin
    assert stdin is not None
    stdin.write(b"nonsense\n[]\n" + b"[" * 100_000 + b"\n")
    assert await _text(engine)


async def test_half_characters_are_replaced(new_engine: MakeEngine) -> None:
    answers = [
        answer async for answer in new_engine().reply([Message("user", "a \ud83d b")], GREEDY)
    ]
    assert isinstance(answers[0], Prompted)
    assert "a ? b" in answers[0].tail


async def test_an_unreadable_answer_ends_it(
    new_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine()
    await engine.load()

    async def line(self: Child, silence: float) -> bytes:
        return b"not json\n"

    with monkeypatch.context() as patch:
        patch.setattr(Child, "_line", line)
        with pytest.raises(EngineError, match="unreadable: not json"):
            await _text(engine)
    assert await _text(engine)


async def test_inside_a_textual_app(new_engine: MakeEngine) -> None:
    from textual.app import App

    async with App[None]().run_test() as pilot:
        engine = new_engine()
        assert await _text(engine)
        await engine.close()
        await pilot.pause()


def test_how_processes_end() -> None:
    assert describe_end(None) == "closed its pipe"
    assert describe_end(3) == "ended unexpectedly (exit code 3)"
    assert "0xc0000005" in describe_end(0xC0000005)
    assert "check inside llama.cpp" in describe_end(-signal.SIGABRT)
    assert describe_end(-99) == "crashed (signal 99)"
    assert condense("a\n\n b \nc\nd\ne\n") == "b | c | d | e"
