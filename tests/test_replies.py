"""Replies are judged while they stream: what is shown, when, and what happens on a flag."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oa_chat.assembly import build_chat, build_guard
from oa_chat.catalog import GUARD, embedded_path
from oa_chat.config import Settings
from oa_chat.conversation import Message, StopReason, Turn
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Sampling
from oa_chat.errors import EngineDied
from oa_chat.events import (
    Answer,
    Checked,
    Event,
    Failed,
    Finished,
    ReplyChecked,
    ReplyHeld,
    ReplyWithdrawn,
    Saved,
    Sending,
    Stopped,
    Token,
    Withheld,
)
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.guards.guard import GuardLimits, LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.policies.shelf import shipped
from oa_chat.reply_check import Read, ReplyCheck
from oa_chat.reply_parts import BEFORE, MOST, part_end, window
from oa_chat.reply_rules import ReplyAction, ReplyMode, ReplyRules, decide_reply
from oa_chat.rulebook import Rulebook
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict, unreadable
from tests.reply_guard import RULE, WordGuard, by_words
from tests.scripted import ScriptedChat

STRICT, BALANCED = "strict", "balanced"
CRUEL = ["Well. ", "Be cruel to him. ", "Go on."]
KIND = ["Talk ", "to him. ", "It helps."]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sqlite3"


def make(
    path: Path,
    mode: str,
    *replies: list[str | EngineDied],
    guard: object | None = None,
    chat: object | None = None,
    rules: ReplyRules | None = None,
) -> ChatSession:
    setup = ChatSetup(
        chat=chat or ScriptedChat(replies=list(replies)),  # type: ignore[arg-type]
        chat_name="scripted chat",
        guard=guard or WordGuard(),  # type: ignore[arg-type]
        store=Store(path),
        policy=shipped()[mode],
        replies=rules or ReplyRules(),
        sampling=Sampling(max_tokens=60, seed=3),
    )
    return ChatSession(setup)


async def never(checked: Checked) -> Answer:
    raise AssertionError("nobody should be asked")


async def send(session: ChatSession, text: str = "hi") -> list[Event]:
    return [event async for event in session.send(text, never)]


def shown(events: list[Event]) -> str:
    """Everything that was ever shown."""
    return "".join(event.text for event in events if isinstance(event, Token))


def kinds(events: list[Event]) -> list[str]:
    names: list[str] = []
    for event in events:
        if not isinstance(event, ReplyHeld) and (not names or names[-1] != type(event).__name__):
            names.append(type(event).__name__)
    return names


def on_disk(path: Path) -> Turn:
    return Store(path).conversation(1).turns[0]


# ------------------------------------------------------------ the modes


async def test_strict_never_shows_what_is_flagged(path: Path) -> None:
    session = make(path, STRICT, CRUEL, KIND)
    events = await send(session)
    assert "cruel" not in shown(events)
    assert shown(events).endswith("Talk to him. It helps.")
    assert kinds(events) == [
        *("Saved", "Checked", "Sending", "ReplyChecked", "Token", "ReplyChecked"),
        *("ReplyWithdrawn", "Sending", "ReplyChecked", "Token", "ReplyChecked", "Token"),
        "Finished",
    ]
    turn = on_disk(path)
    assert turn.reply == "Talk to him. It helps."
    (withdrawn,) = turn.withdrawn
    assert withdrawn.text == "Well."
    assert withdrawn.unshown >= len("Be cruel to him. ")
    assert withdrawn.verdicts[-1].severity is Severity.CAUTION
    assert turn.reply_verdict == turn.verdicts[-1]
    assert turn.reply_verdict.severity is Severity.CASUAL


async def test_the_second_try_gets_the_rule_as_a_guideline(path: Path) -> None:
    chat = ScriptedChat(replies=[list(CRUEL), list(KIND)])
    session = make(path, BALANCED, chat=chat)
    events = await send(session, "He laughed at me.")
    sent = f"He laughed at me.\n\n[Guideline: {RULE}]"
    assert [messages[-1].text for messages in chat.seen] == ["He laughed at me.", sent]
    second = [event for event in events if isinstance(event, Sending)][-1]
    assert (second.sent, second.guideline) == (sent, RULE)
    await send(session, "And now?")
    assert chat.seen[2][:2] == [Message("user", sent), Message("assistant", "".join(KIND))]
    assert on_disk(path).withdrawn[0].sent == "He laughed at me."


async def test_balanced_shows_at_once_and_withdraws(path: Path) -> None:
    session = make(path, BALANCED, CRUEL, KIND)
    events = await send(session)
    assert not any(isinstance(event, ReplyHeld) for event in events)
    assert "cruel" in shown(events)
    taken = next(event for event in events if isinstance(event, ReplyWithdrawn))
    assert taken.again
    assert "Be cruel to him." in taken.withdrawn.text
    assert taken.withdrawn.unshown == 0
    turn = on_disk(path)
    assert (turn.reply, turn.withdrawn) == ("".join(KIND), (taken.withdrawn,))


@pytest.mark.parametrize("mode", [STRICT, BALANCED])
async def test_a_second_flag_ends_the_reply(path: Path, mode: str) -> None:
    session = make(path, mode, CRUEL, ["Yes. ", "Very cruel. ", "Do it."])
    events = await send(session)
    last = events[-1]
    assert isinstance(last, Withheld)
    assert last.verdict.rule == RULE
    again = [event.again for event in events if isinstance(event, ReplyWithdrawn)]
    assert again == [True, False]
    turn = on_disk(path)
    assert (turn.reply, turn.stop_reason) == ("", StopReason.FLAGGED)
    assert len(turn.withdrawn) == 2
    if mode == STRICT:
        assert "cruel" not in shown(events)
        assert all("cruel" not in kept.text for kept in turn.withdrawn)
    await send(session, "again")
    assert session.chat.seen[-1] == [Message("user", "again")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", ["note", "off"])
async def test_other_modes_leave_the_reply(path: Path, mode: str) -> None:
    guard = WordGuard()
    rules = ReplyRules(ReplyMode(mode))
    events = await send(make(path, STRICT, CRUEL, guard=guard, rules=rules))
    assert shown(events) == "".join(CRUEL)
    assert isinstance(events[-1], Finished)
    said = on_disk(path).reply_verdict
    assert (said and said.severity) == (None if mode == "off" else Severity.CAUTION)
    assert bool(guard.read) is (mode == "note")


async def test_an_unsure_flag_is_noted_only(path: Path) -> None:
    session = make(path, STRICT, ["This is odd. ", "Is it?"])
    events = await send(session)
    assert isinstance(events[-1], Finished)
    actions = {event.action for event in events if isinstance(event, ReplyChecked)}
    assert ReplyAction.NOTE in actions
    assert ReplyAction.WITHDRAW not in actions
    said = on_disk(path).reply_verdict
    assert said is not None
    assert said.severity is Severity.CAUTION


async def test_the_conversation_is_the_context_without_guidelines(path: Path) -> None:
    guard = WordGuard()
    session = make(path, BALANCED, ["Hello."], CRUEL, KIND, guard=guard)
    await send(session, "one")
    await send(session, "two")
    for messages in guard.read[1:]:
        assert messages[:3] == [
            Message("user", "one"),
            Message("assistant", "Hello."),
            Message("user", "two"),
        ]
        assert messages[3].role == "assistant"


async def test_a_switched_off_guard_reads_no_replies(path: Path) -> None:
    guard = WordGuard()
    session = make(path, STRICT, CRUEL, guard=guard)
    session.switch_guard(off=True)
    events = await send(session)
    assert kinds(events) == ["Saved", "Sending", "Token", "Finished"]
    assert shown(events) == "".join(CRUEL)
    assert guard.read == []


async def test_the_mode_follows_the_policy_unless_it_is_set(path: Path) -> None:
    session = make(path, BALANCED, ["Be odd. ", "Yes."], ["Be odd. ", "Yes."])
    assert not any(isinstance(event, ReplyHeld) for event in await send(session))
    session.choose_policy(STRICT)
    assert any(isinstance(event, ReplyHeld) for event in await send(session))
    assert ReplyRules(ReplyMode.NOTE).mode_under(shipped()[STRICT]) is ReplyMode.NOTE
    modes = [ReplyRules().mode_under(policy).value for policy in shipped().values()]
    assert modes == ["note", "balanced", "strict"]


# ------------------------------------------------------------ a guard that fails


async def test_strict_ends_where_the_guard_died(path: Path) -> None:
    session = make(path, STRICT, ["Well. ", "Now it is dead. ", "More."])
    events = await send(session)
    last = events[-1]
    assert isinstance(last, Withheld)
    assert shown(events) == "Well."
    turn = on_disk(path)
    assert (turn.reply, turn.stop_reason) == ("Well.", StopReason.UNJUDGED)
    assert turn.failure == "The guard's process ended."
    assert not any(isinstance(event, ReplyWithdrawn) for event in events)


async def test_balanced_marks_what_was_not_judged(path: Path) -> None:
    session = make(path, BALANCED, ["Well. ", "Now it is dead. ", "More."])
    events = await send(session)
    assert isinstance(events[-1], Finished)
    assert shown(events) == "Well. Now it is dead. More."
    said = on_disk(path).reply_verdict
    assert said is not None
    assert not said.readable


@pytest.fixture
async def embedded() -> AsyncIterator[LocalGuard]:
    """The embedded guard in its process, with half a second for a check."""
    path = embedded_path(GUARD)
    family = identify(path).family
    author = RulebookAuthor(Rulebook.load)
    engine = Engine(path, family.kind)
    made = LocalGuard("embedded", engine, family, author, GuardLimits(check=0.5))
    await made.load()
    yield made
    await made.close()


def signalled(guard: LocalGuard, number: int) -> None:
    pid = guard._engine.pid
    assert pid is not None
    os.kill(pid, number)


@pytest.mark.parametrize("mode", [STRICT, BALANCED])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_real_guard_dies_or_hangs_while_the_reply_streams(
    path: Path, embedded: LocalGuard, mode: str, number: int
) -> None:
    """A killed guard may be back for the next part; a silent one is not, and strict ends."""
    chat = ScriptedChat(replies=[["Rice is easy. ", "Boil it. ", "Then eat it."]])
    session = make(path, mode, chat=chat, guard=embedded)
    events: list[Event] = []
    async for event in session.send("How do I cook rice?", never):
        events.append(event)
        if isinstance(event, Sending):
            signalled(embedded, number)
    turn = on_disk(path)
    if mode == STRICT:
        assert isinstance(events[-1], Withheld)
        assert (turn.reply, turn.stop_reason) == ("", StopReason.UNJUDGED)
        assert shown(events) == ""
    else:
        assert isinstance(events[-1], Finished)
        assert turn.reply == "Rice is easy. Boil it. Then eat it."
        checks = [event for event in events if isinstance(event, ReplyChecked)]
        assert checks[0].action is ReplyAction.UNJUDGED


# ------------------------------------------------------------ stopping


async def test_stop_while_text_is_held_back(path: Path) -> None:
    guard = WordGuard(gate=asyncio.Event())
    session = make(path, STRICT, ["Secret one. ", "Secret two."], guard=guard)
    events: list[Event] = []
    async for event in session.send("hi", never):
        events.append(event)
        if isinstance(event, ReplyHeld):
            asyncio.get_running_loop().call_later(0.02, session.stop)
    assert isinstance(events[-1], Stopped)
    assert (on_disk(path).reply, shown(events)) == ("", "")
    assert guard.running == 0


@pytest.mark.parametrize("mode", [STRICT, BALANCED])
async def test_stop_at_any_event_keeps_what_was_shown(path: Path, mode: str) -> None:
    for place in range(2, 14):
        session = make(path, mode, ["One. ", "Be cruel. "], ["Two. ", "Three. ", "Four."])
        events: list[Event] = []
        async for event in session.send("hi", never):
            events.append(event)
            if len(events) == place:
                session.stop()
        last = events[-1]
        assert isinstance(last, Stopped | Finished)
        after = [number for number, event in enumerate(events) if isinstance(event, ReplyWithdrawn)]
        since = events[after[-1] :] if after else events
        stored = session.store.conversation(session.conversation.id).turns[-1]
        assert stored.reply == shown(since)
        await session.close()


@pytest.mark.parametrize("mode", [STRICT, BALANCED])
async def test_a_reader_that_leaves_keeps_what_was_shown(path: Path, mode: str) -> None:
    guard = WordGuard(seconds=0.01)
    events = make(path, mode, ["One. ", "Two. ", "Three."], guard=guard).send("hi", never)
    seen = ""
    async for event in events:
        if isinstance(event, Token):
            seen = event.text
            break
    await events.aclose()
    turn = on_disk(path)
    assert turn.reply == seen
    assert seen.strip() == "One."
    assert turn.stop_reason is StopReason.STOPPED
    assert guard.running == 0


async def test_a_model_that_dies_keeps_what_had_passed(path: Path) -> None:
    died = EngineDied("killed", "It restarts.")
    session = make(path, STRICT, ["One. ", "Two. ", "Thr", died], guard=WordGuard())
    events = await send(session)
    assert isinstance(events[-1], Failed)
    turn = on_disk(path)
    assert turn.reply == shown(events)
    assert "Thr" not in turn.reply
    assert turn.stop_reason is StopReason.FAILED


@pytest.mark.parametrize("mode", [STRICT, BALANCED])
async def test_a_bug_in_a_guard_is_a_failure_and_no_pass(path: Path, mode: str) -> None:
    def broken(text: str) -> Verdict:
        raise ValueError("a bug")

    session = make(path, mode, ["One. ", "Two."], guard=WordGuard(judge=broken))
    events = await send(session)
    assert isinstance(events[-1], Failed)
    assert mode == BALANCED or shown(events) == ""


# ------------------------------------------------------------ cost


async def test_one_check_at_a_time_and_parts_are_taken_together(path: Path) -> None:
    guard = WordGuard(gate=asyncio.Event())
    chat = ScriptedChat(replies=[[f"Word {number}. " for number in range(50)]])
    session = make(path, BALANCED, chat=chat, guard=guard)
    asyncio.get_running_loop().call_later(0.05, guard.gate.set)
    events = await send(session)
    assert isinstance(events[-1], Finished)
    assert guard.most_running == 1
    assert len(guard.read) == 2  # the first sentence, and the whole at the end
    assert guard.read[-1][-1].text == "".join(f"Word {number}. " for number in range(50))


async def test_a_pause_follows_each_check(path: Path) -> None:
    """The guard works at most a tenth of the time, and no check is lost at the end."""
    guard = WordGuard(seconds=0.02)
    told: asyncio.Queue[object] = asyncio.Queue()
    check = ReplyCheck(guard, [Message("user", "hi")], told.put_nowait, longest_pause=30)
    began = time.perf_counter()
    for number in range(20):
        check.add(f"Word {number}. ")
        await asyncio.sleep(0.01)
    assert len(guard.read) <= 1 + (time.perf_counter() - began) / 0.2
    while check.busy:
        await told.get()
    assert check.finish()
    while not (isinstance(last := await told.get(), Read) and last.whole):
        pass
    assert last.end == sum(len(f"Word {number}. ") for number in range(20))
    await check.close()


async def test_the_price_of_a_part_does_not_grow_with_the_reply(path: Path) -> None:
    guard = WordGuard()
    chat = ScriptedChat(replies=[[f"This is sentence {number}. " for number in range(300)]])
    await send(make(path, BALANCED, chat=chat, guard=guard))
    *parts, whole = (messages[-1].text for messages in guard.read)
    assert len(whole) > 20 * MOST
    told = [read for read in parts if len(read) > BEFORE + MOST + 50]
    assert not told


# ------------------------------------------------------------ every character is covered


_WORDS = st.sampled_from(["so", "well", "odd", "cruel", "dead", "hm"])
_ENDINGS = st.sampled_from(["", "", "", ".", "!", "\n", "。"])


@st.composite
def replies(draw: Callable[..., list[tuple[str, str]]]) -> list[str]:
    """Pieces of a reply in which every word is another one, cut anywhere."""
    words = draw(st.lists(st.tuples(_WORDS, _ENDINGS), min_size=1, max_size=60))
    text = " ".join(f"{word}{number}{end}" for number, (word, end) in enumerate(words))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))  # type: ignore[type-var]
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges) if start < end]


def covered(text: str, passed: list[str]) -> list[bool]:
    """Which characters of a text lie in one of the texts that passed."""
    marks = [character.isspace() for character in text]
    for part in passed:
        start = text.find(part)
        if start >= 0:
            marks[start : start + len(part)] = [True] * len(part)
    return marks


@given(first=replies(), second=replies(), slow=st.booleans())
@settings(max_examples=60, deadline=None)
async def test_in_strict_every_shown_character_has_a_readable_passing_verdict(
    tmp_path_factory: pytest.TempPathFactory, first: list[str], second: list[str], slow: bool
) -> None:
    path = tmp_path_factory.mktemp("strict") / "c.sqlite3"
    guard = WordGuard(seconds=0.001 if slow else 0.0)
    chat = ScriptedChat(replies=[list(first), list(second)])
    # Everything but casual acts, so that "passed" is the same here and there.
    rules = ReplyRules(act_from=Severity.POSSIBLY, certainty=0.1)
    session = make(path, STRICT, chat=chat, guard=guard, rules=rules)
    tries, full = [""], ["".join(first), "".join(second)]
    passed_before = 0
    async for event in session.send("hi", never):
        if isinstance(event, Token):
            tries[-1] += event.text
            text = full[len(tries) - 1]
            assert text.startswith(tries[-1])
            marks = covered(text, guard.passed[passed_before:])
            assert all(marks[: len(tries[-1])])
        elif isinstance(event, ReplyWithdrawn) and event.again:
            tries.append("")
            passed_before = len(guard.passed)
    turn = session.conversation.turns[0]
    assert not re.search("cruel|dead|odd", "".join(tries))
    expected = "" if turn.stop_reason is StopReason.FLAGGED else tries[-1]
    assert turn.reply == expected
    await session.close()


# ------------------------------------------------------------ parts and rules


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", ""),
        ("Hello", ""),
        ("Hello.", ""),
        ("Hello. ", "Hello."),
        ("Hello. You", "Hello."),
        ("One. Two! Three? Fo", "One. Two! Three?"),
        ('He said "no." Then', 'He said "no."'),
        ("Pi is 3.14 or", ""),
        ("A line\nand", "A line\n"),
        ("\n\n  ", ""),
        ("你好。再", "你好。"),
        ("नमस्ते। कैसे", "नमस्ते।"),
        ("x" * (MOST - 1), ""),
        ("x" * MOST, "x" * MOST),
        ("x" * 300 + ". y", "x" * 300 + "."),
    ],
)
def test_where_parts_end(text: str, part: str) -> None:
    assert text[: part_end(text)] == part


@given(st.text(max_size=600), st.text(max_size=300))
def test_a_window_ends_with_its_part_and_stays_short(before: str, part: str) -> None:
    text = window(before, part)
    assert len(text) <= BEFORE + len(part)
    assert text.endswith(part.strip())
    assert text in (before + part)


@pytest.mark.parametrize("mode", list(ReplyMode))
@given(shares=st.lists(st.floats(0, 1), min_size=5, max_size=5), whole=st.booleans())
def test_only_sure_flags_act_and_nothing_unreadable_passes(
    mode: ReplyMode, shares: list[float], whole: bool
) -> None:
    total = sum(shares) or 1.0
    probabilities = tuple(share / total for share in shares)
    level = Severity(max(range(5), key=lambda number: probabilities[number]))
    verdict = Verdict(level, "g", probabilities, subject="reply")
    policy = shipped()["balanced"]
    action = decide_reply(verdict, policy, ReplyRules(), mode, whole=whole)
    if level is Severity.CASUAL:
        assert action is ReplyAction.PASS
    elif mode is ReplyMode.NOTE or sum(probabilities[3:]) < 0.88:
        assert action is ReplyAction.NOTE
    elif sum(probabilities[3:]) > 0.94 and level >= Severity.CAUTION:
        assert action is ReplyAction.WITHDRAW
    failed = unreadable("g", "it died")
    assert decide_reply(failed, policy, ReplyRules(), mode, whole=whole) is ReplyAction.UNJUDGED


def test_a_guard_without_probabilities_acts_by_level_alone() -> None:
    policy, rules = shipped()["balanced"], ReplyRules()
    for level in Severity:
        verdict = Verdict(level, "g", subject="reply")
        action = decide_reply(verdict, policy, rules, ReplyMode.STRICT, whole=False)
        assert (action is ReplyAction.WITHDRAW) is (level >= Severity.CAUTION)


def test_a_casual_reply_in_an_unknown_language_is_marked() -> None:
    verdict = Verdict(Severity.CASUAL, "g", subject="reply", language_known=False)
    action = decide_reply(verdict, shipped()["strict"], ReplyRules(), ReplyMode.STRICT, whole=True)
    assert action is ReplyAction.NOTE


def test_a_level_that_passes_in_messages_is_noted_in_replies() -> None:
    verdict = by_words("cruel")
    lenient = shipped()["balanced"].with_overrides(
        {Severity.CAUTION: shipped()["relaxed"].actions[0]}
    )
    action = decide_reply(verdict, lenient, ReplyRules(), ReplyMode.STRICT, whole=True)
    assert action is ReplyAction.NOTE


# ------------------------------------------------------------ for real


@pytest.mark.parametrize("mode", [STRICT, BALANCED])
async def test_real_model_and_real_guard(path: Path, mode: str) -> None:
    settings = Settings()
    guard = build_guard(settings)
    session = make(path, mode, chat=build_chat(settings), guard=guard)
    events = await send(session, "hello, how are you?")
    assert isinstance(events[0], Saved)
    assert isinstance(events[-1], Finished)
    checks = [event for event in events if isinstance(event, ReplyChecked)]
    assert checks[-1].whole
    assert all(check.verdict.readable for check in checks)
    assert all(check.verdict.subject == "reply" for check in checks)
    turn = on_disk(path)
    assert turn.reply == shown(events) != ""
    assert turn.reply_verdict is not None
    await session.close()
