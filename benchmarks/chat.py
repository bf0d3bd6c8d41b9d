"""What the path of a message adds to the bare model: decoding, first token, prefix cache."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import wide_model
from benchmarks.table import Row, median, print_table
from oa_chat.assembly import build_chat, build_guard
from oa_chat.catalog import STARTER, embedded_path
from oa_chat.config import Settings
from oa_chat.conversation import Turn
from oa_chat.engine.protocol import Sampling
from oa_chat.events import Answer, Checked, Finished
from oa_chat.policies.shelf import shipped
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store

_RUNS = 15
_QUESTION = "I worked too much this week and I would like to tell you about it"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder) / "wide.gguf"
        wide_model.main(str(wide))
        asyncio.run(_measure(Path(folder), wide))


async def _measure(folder: Path, wide: Path) -> None:
    models = {"starter": embedded_path(STARTER), "random weights, 0.2 B": wide}
    rows = [await _decoding(name, path, folder) for name, path in models.items()]
    rows += [await _first_token(name, path, folder) for name, path in models.items()]
    rows.append(await _twentieth_turn(folder))
    print_table(f"Chat, {_RUNS} runs", rows)


async def _decoding(name: str, path: Path, folder: Path) -> Row:
    """The session's tokens per second over all replies, beside a bare loop over as many."""
    ours = bare = 0.0
    async with _session(folder / f"{name}-decode", path, guarded=True) as session:
        for seed in range(_RUNS):
            session.sampling = Sampling(
                temperature=1.5, top_p=1.0, top_k=0, seed=seed, max_tokens=60
            )
            session.new_conversation()
            turn = await _say(session, _QUESTION)
            if turn.timing.reply_tokens > 1:
                ours += turn.timing.decode_ms
                bare += await asyncio.to_thread(_bare_loop, path, turn.timing.reply_tokens)
    return Row(
        f"decoding, {name}",
        f"{ours:.0f} ms",
        f"{bare:.0f} ms (bare loop)",
        f"{bare / ours:.2f}x as fast",
        "at least 0.95x",
    )


def _bare_loop(path: Path, tokens: int) -> float:
    """Milliseconds for as many tokens, the first one excluded."""
    command = [sys.executable, "-m", "benchmarks.bare_loop", str(path), str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


async def _first_token(name: str, path: Path, folder: Path) -> Row:
    """Time to the first token with the guard, beside the same without one."""
    times: dict[bool, list[float]] = {True: [], False: []}
    async with (
        _session(folder / f"{name}-with", path, guarded=True) as with_guard,
        _session(folder / f"{name}-without", path, guarded=False) as without,
    ):
        for session in (with_guard, without):
            await _say(session, "hello")
        for number in range(_RUNS):
            for guarded, session in ((True, with_guard), (False, without)):
                session.new_conversation()
                turn = await _say(session, f"{number}: {_QUESTION}")
                times[guarded].append(turn.timing.first_token_ms)
    ours, peer = median(times[True]), median(times[False])
    return Row(
        f"first token, {name}",
        f"{ours:.1f} ms",
        f"{peer:.1f} ms (no guard)",
        f"{ours / peer:.2f}x",
        "at most 1.10x",
    )


async def _twentieth_turn(folder: Path) -> Row:
    """How many tokens of the prompt turn 20 evaluates, beside how many are new in it."""
    async with _session(folder / "turns", embedded_path(STARTER), guarded=True) as session:
        session.sampling = Sampling(temperature=0.0, max_tokens=4)
        before = turn = await _say(session, "hi")
        for _ in range(19):
            before, turn = turn, await _say(session, "hi")
    evaluated = turn.timing.prompt_tokens - turn.timing.cached_tokens
    new = turn.timing.prompt_tokens - before.timing.prompt_tokens
    return Row(
        "tokens evaluated in turn 20",
        f"{evaluated} of {turn.timing.prompt_tokens}",
        f"{new} new since turn 19",
        goal="its own new ones",
    )


async def _say(session: ChatSession, text: str) -> Turn:
    async def send(checked: Checked) -> Answer:
        return Answer.SEND

    last = [event async for event in session.send(text, send)][-1]
    if not isinstance(last, Finished):
        raise SystemExit(f"the benchmark's message did not come through: {last}")
    return last.turn


@asynccontextmanager
async def _session(folder: Path, model: Path, *, guarded: bool) -> AsyncIterator[ChatSession]:
    settings = Settings()
    chat = build_chat(Settings(chat=type(settings.chat)(model=str(model))))
    setup = ChatSetup(
        chat=chat,
        chat_name=model.name,
        guard=build_guard(settings) if guarded else None,
        store=Store(folder / "c.sqlite3"),
        policy=shipped()["relaxed"],
        sampling=Sampling(max_tokens=8, seed=1),
    )
    session = ChatSession(setup)
    async for _ in session.load():
        pass
    try:
        yield session
    finally:
        await session.close()
