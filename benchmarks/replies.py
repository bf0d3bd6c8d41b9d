"""What judging replies costs while they stream, and how often it is wrong about kind ones."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks import wide_model
from benchmarks.table import Row, median, print_table
from oa_chat.assembly import build_chat, build_guard
from oa_chat.catalog import STARTER, embedded_path
from oa_chat.config import ChatSettings, Settings
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Sampling
from oa_chat.events import Answer, Checked, Finished, ReplyChecked
from oa_chat.guards.guard import Guard, LocalGuard
from oa_chat.policies.shelf import shipped
from oa_chat.reply_parts import part_end, window
from oa_chat.reply_rules import ReplyAction, ReplyMode, ReplyRules, decide_reply
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store
from oa_chat.verdict import Verdict

_RUNS = 6
_TOKENS = 100
_REPLIES = Path(__file__).parents[1] / "tests" / "data" / "replies.jsonl"
_CERTAINTIES = (0.5, 0.8, 0.88, 0.92)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder) / "wide.gguf"
        wide_model.main(str(wide))
        asyncio.run(_measure(Path(folder), wide))


async def _measure(folder: Path, wide: Path) -> None:
    title = "Flags that withdraw, embedded guard, 50 kind and 30 unkind replies"
    print_table(title, await _flags())
    models = {"starter": embedded_path(STARTER), "random weights, 0.2 B": wide}
    for name, path in models.items():
        rows = await _decoding(name, path, folder)
        print_table(f"Judged replies, {_RUNS} of up to {_TOKENS} tokens, {name}", rows)


async def _decoding(name: str, path: Path, folder: Path) -> list[Row]:
    """Milliseconds for a token in each mode; the modes take turns, so that noise meets them all."""
    session = _session(folder / f"{name}.sqlite3", path)
    async for _ in session.load():
        pass
    per_token: dict[ReplyMode, list[float]] = {mode: [] for mode in ReplyMode}
    first: dict[ReplyMode, list[float]] = {mode: [] for mode in ReplyMode}
    checks: list[int] = []
    spent: Counter[tuple[ReplyMode, str]] = Counter()
    for seed in range(_RUNS):
        for mode in (ReplyMode.OFF, ReplyMode.BALANCED, ReplyMode.STRICT):
            # Nothing acts, so that every mode decodes the very same tokens.
            session.replies = ReplyRules(mode, certainty=1.0)
            session.sampling = Sampling(temperature=1.0, top_p=1.0, seed=seed, max_tokens=_TOKENS)
            session.new_conversation()
            used = _processor(session)
            began = time.perf_counter()
            events = [event async for event in session.send("Tell me about your week.", _yes)]
            last = events[-1]
            if not isinstance(last, Finished):
                raise SystemExit(f"the benchmark's message did not come through: {last}")
            for part, seconds in zip(("chat", "guard"), _processor(session), strict=True):
                spent[mode, part] += seconds - used[part == "guard"]
            timing = last.turn.timing
            if timing.reply_tokens > 1:
                per_token[mode].append(timing.decode_ms / (timing.reply_tokens - 1))
            first[mode].append((time.perf_counter() - began) * 1000)
            if mode is ReplyMode.STRICT:
                checks.append(sum(isinstance(event, ReplyChecked) for event in events))
    await session.close()
    off = median(per_token[ReplyMode.OFF])
    rows = []
    for mode in (ReplyMode.BALANCED, ReplyMode.STRICT):
        ours = median(per_token[mode])
        goal = "at most 1.10x"
        shares = f"{ours / off:.2f}x"
        rows.append(
            Row(f"decoding, {mode}", f"{ours:.2f} ms/token", f"{off:.2f} (off)", shares, goal)
        )
    for mode in (ReplyMode.BALANCED, ReplyMode.STRICT):
        guard, chat = spent[mode, "guard"], spent[mode, "chat"]
        # With the message's check taken off, which every mode has.
        guard -= spent[ReplyMode.OFF, "guard"]
        what = f"processor time of the guard, {mode}"
        rows.append(
            Row(what, f"{guard:.2f} s", f"{chat:.2f} s (model)", f"{guard / chat:.2f}x", "0.10x")
        )
    whole = median(first[ReplyMode.STRICT]), median(first[ReplyMode.OFF])
    shares = f"{whole[0] / whole[1]:.2f}x"
    rows.append(Row("whole message, strict", f"{whole[0]:.0f} ms", f"{whole[1]:.0f} (off)", shares))
    rows.append(Row("checks of a reply, strict", f"{median(checks):.0f}"))
    return rows


async def _flags() -> list[Row]:
    guard = build_guard(Settings())
    assert guard is not None
    await guard.load()
    rows = [json.loads(line) for line in _REPLIES.read_text(encoding="utf-8").splitlines()]
    judged = [(row["kind"], await _verdicts(guard, row["message"], row["reply"])) for row in rows]
    await guard.close()
    return [
        Row(
            f"certainty {certainty}",
            f"{_acting(judged, certainty, kind=True)} of 50 kind",
            f"{_acting(judged, certainty, kind=False)} of 30 unkind",
            goal="0 kind" if certainty == 0.88 else "",
        )
        for certainty in _CERTAINTIES
    ]


def _acting(judged: list[tuple[bool, list[Verdict]]], certainty: float, *, kind: bool) -> int:
    rules, policy = ReplyRules(certainty=certainty), shipped()["balanced"]

    def acts(verdicts: list[Verdict]) -> bool:
        return any(
            decide_reply(verdict, policy, rules, ReplyMode.STRICT, whole=verdict is verdicts[-1])
            is ReplyAction.WITHDRAW
            for verdict in verdicts
        )

    return sum(acts(verdicts) for is_kind, verdicts in judged if is_kind is kind)


async def _verdicts(guard: Guard, message: str, reply: str) -> list[Verdict]:
    """As many checks as a slow model would get: one for each sentence, then the whole."""
    texts: list[str] = []
    before = unread = ""
    for character in reply:
        unread += character
        if size := part_end(unread):
            texts.append(window(before, unread[:size]))
            before, unread = before + unread[:size], unread[size:]
    asked = Message("user", message)
    return [
        await guard.check([asked, Message("assistant", text)], subject="reply")
        for text in (*texts, reply)
    ]


def _processor(session: ChatSession) -> tuple[float, float]:
    """Seconds of processor time that model and guard have used; they do not depend on the load."""
    assert isinstance(session.chat, Engine)
    assert isinstance(session.guard, LocalGuard)
    pids = (session.chat.pid, session.guard._engine.pid)
    chat, guard = (sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
    return chat, guard


async def _yes(checked: Checked) -> Answer:
    return Answer.SEND


def _session(store: Path, model: Path) -> ChatSession:
    setup = ChatSetup(
        chat=build_chat(Settings(chat=ChatSettings(model=str(model)))),
        chat_name=model.name,
        guard=build_guard(Settings()),
        store=Store(store),
        policy=shipped()["balanced"],
    )
    return ChatSession(setup)
