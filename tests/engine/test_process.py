"""Engines in their processes: streams, cancelling, and what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from oa_chat.conversation import Message
from oa_chat.engine.child import Child
from oa_chat.engine.process import Engine, Limits
from oa_chat.engine.protocol import Answer, Done, Piece, Progress, Prompted, Segment
from oa_chat.errors import (
    ContextFull,
    EngineError,
    ModelNotFound,
    ModelUnreadable,
    OaChatError,
    WrongModelKind,
)
from tests.engine.local import GREEDY, HELLO, LONG, SYSTEM, text_of
from tests.engine.surgery import renamed_architecture

MakeEngine = Callable[..., Engine]
PATIENT = Limits(cancel=60)
"""So that no engine is ended because the machine is slow."""


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
    assert await text_of(engine) == text
    assert (
        sum(answer.tokens for answer in answers if isinstance(answer, Piece)) == answers[-1].tokens
    )


async def test_prefill_then_reply(new_engine: MakeEngine) -> None:
    engine = new_engine()
    prefilled = await engine.prefill(HELLO)
    answers = [answer async for answer in engine.reply(HELLO, GREEDY, prefilled.skipped)]
    assert isinstance(answers[0], Prompted)
    assert answers[0].cached == prefilled.tokens
    long = [SYSTEM, Message("user", "word " * 460)]
    with pytest.raises(ContextFull):
        await engine.prefill(long)
    assert (await engine.prefill(long, 0, 8)).tokens > 460


async def test_complete(new_engine: MakeEngine) -> None:
    answers = [
        answer async for answer in new_engine().complete([Segment("Once upon a time")], GREEDY)
    ]
    assert isinstance(answers[-1], Done)


async def test_requests_wait_for_each_other(new_engine: MakeEngine) -> None:
    engine = new_engine()
    texts = await asyncio.gather(*(text_of(engine) for _ in range(5)))
    assert len(set(texts)) == 1


async def test_cancel_stops_soon(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192, limits=PATIENT)
    engine.cancel()  # nothing runs: nothing happens
    asked = 0.0
    async for answer in engine.reply(HELLO, LONG):
        if isinstance(answer, Piece) and not asked:
            asked = time.perf_counter()
            engine.cancel()
    took = time.perf_counter() - asked
    assert isinstance(answer, Done)
    print(f"stopped after {took * 1000:.1f} ms and {answer.tokens} tokens")
    assert answer.stop == "cancelled"  # not after 2000 tokens


async def test_leaving_a_stream_cancels_it(
    new_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(context=20_000, limits=PATIENT)
    pid = (await engine.load()) and engine.pid
    endless = msgspec.structs.replace(LONG, max_tokens=19_000)
    last: list[Answer] = []
    real = Child.answer

    async def answer_of(self: Child, silence: float) -> Answer:
        last[:] = [await real(self, silence)]
        return last[0]

    with monkeypatch.context() as patch:
        patch.setattr(Child, "answer", answer_of)
        async with aclosing(engine.reply(HELLO, endless)) as answers:
            async for answer in answers:
                if isinstance(answer, Piece):
                    break
    (done,) = last
    assert isinstance(done, Done)
    assert done.stop == "cancelled"  # not after 19,000 tokens
    assert await text_of(engine)
    assert engine.pid == pid


async def test_a_cancelled_task_cancels_its_request(new_engine: MakeEngine) -> None:
    engine = new_engine(context=8192, limits=PATIENT)
    await engine.load()
    pid = engine.pid
    for delay in (0.0, 0.001, 0.05):
        task = asyncio.create_task(text_of(engine, LONG))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    prefill = asyncio.create_task(engine.prefill([SYSTEM, Message("user", "word " * 4000)]))
    await asyncio.sleep(0.02)
    prefill.cancel()
    with pytest.raises(asyncio.CancelledError):
        await prefill
    assert await text_of(engine)
    assert engine.pid == pid


async def test_cancel_during_a_prefill(
    new_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(context=8192, limits=PATIENT)
    await engine.load()
    long = [SYSTEM, Message("user", "word and word " * 2000)]
    real = Child.answer

    async def cancelling(self: Child, silence: float) -> Answer:
        answer = await real(self, silence)
        if isinstance(answer, Progress):
            engine.cancel()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Child, "answer", cancelling)
        partial = await engine.prefill(long)
    whole = await engine.prefill(long)
    print(f"{partial.tokens} of {whole.tokens} tokens")
    # On a busy machine the parent may be too late, which test_causal cannot be.
    assert 0 < partial.tokens <= whole.tokens
    assert whole.cached == partial.tokens


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
    assert await text_of(engine)
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
    assert await text_of(engine)


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
            await text_of(engine)
    assert await text_of(engine)


async def test_inside_a_textual_app(new_engine: MakeEngine) -> None:
    from textual.app import App

    async with App[None]().run_test() as pilot:
        engine = new_engine()
        assert await text_of(engine)
        await engine.close()
        await pilot.pause()
