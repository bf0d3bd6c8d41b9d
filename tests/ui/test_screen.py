"""What happens on the screen while a message is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest
from textual.widgets import Collapsible, Static

from oa_chat.conversation import StopReason, Turn
from oa_chat.errors import EngineDied, OaChatError
from oa_chat.events import Answer, Ask, Event, Failed
from oa_chat.policies.shelf import shipped
from oa_chat.policy import Action
from oa_chat.ui.commands import choose_policy, commands, switch_guard
from oa_chat.ui.dialogs import Confirm, Hold
from oa_chat.ui.help import Help
from oa_chat.ui.reply import Reply
from oa_chat.ui.turn_view import TurnView
from oa_chat.ui.welcome import Welcome
from oa_chat.ui.working import Working
from oa_chat.verdict import Severity
from tests.ui.driving import SIZE, app_with, plain, say, shown, started, until
from tests.ui.stand_in import (
    BROKEN,
    CASUAL,
    CAUTION,
    FLAGGED,
    NONE,
    RULE,
    URGENT,
    Script,
    StandIn,
    finished,
    verdict,
)

STRICT = shipped()["strict"]


async def test_a_flagged_message_shows_flag_rule_and_what_was_sent() -> None:
    app = app_with(StandIn([Script([FLAGGED])]))
    async with app.run_test(size=(140, 45)) as pilot:
        await started(pilot, app)
        await say(pilot, app, "how do I get back at them?")
        await pilot.press("f4")
        text = shown(app)
        for words in ("◑ probably needs caution", "62 %", "sent with a guideline", "Rule of thumb"):
            assert words in text
        assert "from the rulebook" in text
        assert "47 ms" in text
        assert "[Guideline: It's good" in text
        assert "371 of them came from the cache" in text
        await pilot.press("ctrl+o")
        assert app.chat.query_one("#sent", Collapsible).collapsed


async def test_a_casual_message_is_calm() -> None:
    app = app_with(StandIn([Script([CASUAL])]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert not app.chat.query(".flag")
        assert "○ casual" in shown(app)
        assert "38 tokens/s" in shown(app)


async def test_esc_stops_and_keeps_the_partial_reply() -> None:
    session = StandIn([Script(pieces=("First part. ", "never"), gate=asyncio.Event())])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: "First part." in shown(app))
        assert "Esc stop" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.running)
        await until(pilot, lambda: "■ stopped" in shown(app))
        assert "First part." in shown(app)
        assert "never" not in shown(app)
        assert app.focused is app.chat.composer.editor


async def test_the_composer_keeps_the_focus_after_a_reply() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert app.focused is app.chat.composer.editor
        await pilot.press("x")
        assert app.chat.composer.text == "x"


async def test_nothing_moves_when_nothing_runs() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        await pilot.pause(0.3)
        assert not app.chat.query(Working)
        for node in app.chat.walk_children():
            for timer in node._timers:
                assert not timer._active.is_set()  # a paused one costs nothing


async def test_confirm_sends_with_the_guideline() -> None:
    session = StandIn([Script([CAUTION])], policy=STRICT)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "something", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "needs caution" in shown(app)
        assert RULE.split(" why")[0] in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: not app.chat.running)
        assert session.answers == [Answer.SEND]
        assert RULE in (session.conversation.turns[-1].sent or "")


async def test_edit_returns_the_text() -> None:
    session = StandIn([Script([CAUTION])], policy=STRICT)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "let me rephrase", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.running)
        assert session.answers == [Answer.EDIT]
        assert app.chat.composer.text == "let me rephrase"
        assert app.focused is app.chat.composer.editor


async def test_withdraw_takes_the_message_back() -> None:
    session = StandIn([Script([CAUTION])], policy=STRICT)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "never mind", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("w")
        await until(pilot, lambda: "taken back" in shown(app))
        assert app.chat.composer.is_empty


async def test_hold_retries_and_switches_the_guard_off() -> None:
    session = StandIn([Script([NONE, NONE])])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Hold))
        assert "did not answer within 20 seconds" in shown(app)
        await pilot.press("r")
        await until(pilot, lambda: len(session.answers) == 1 and isinstance(app.screen, Hold))
        await pilot.press("o")
        await until(pilot, lambda: not app.chat.running)
        assert session.answers == [Answer.RETRY, Answer.GUARD_OFF]
        await until(pilot, lambda: "GUARD OFF" in shown(app))


async def test_stopping_takes_the_question_away() -> None:
    """The session stops asking; the question must not stay behind."""
    session = StandIn([Script([NONE])])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Hold))
        app.chat.workers.cancel_group(app.chat, "chat")
        await until(pilot, lambda: app.screen is app.chat)
        await until(pilot, lambda: not app.chat.running)


async def test_blocked_says_why_shows_help_and_returns_the_text() -> None:
    session = StandIn([Script([URGENT])], policy=STRICT)
    app = app_with(session, help_lines=lambda: ["Call 112.", "[bold]You are not alone.[/]"])
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "something dark")
        text = shown(app)
        assert "✚ needs intervention" in text
        assert "■ not sent" in text
        assert "Call 112." in text
        assert "[bold]You are not alone.[/]" in text
        assert app.chat.composer.text == "something dark"
        assert app.screen is app.chat


async def test_an_error_is_shown_and_the_chat_goes_on() -> None:
    error = EngineDied("The chat engine ended.", "It starts again with the next message.")
    session = StandIn([Script(error=error), Script()])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "The chat engine ended." in shown(app)
        assert "It starts again" in shown(app)
        assert app.chat.composer.text == "hello"
        await pilot.press("enter")
        await until(pilot, lambda: "How are you?" in shown(app))


async def test_an_error_in_the_middle_keeps_the_reply() -> None:
    session = StandIn([Script(error=OaChatError("Out of memory."), late=True)])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "How are you?" in shown(app)
        assert "Out of memory." in shown(app)


async def test_an_unforeseen_error_never_closes_the_app() -> None:
    session = StandIn([Script(crash=ZeroDivisionError()), Script()])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "ZeroDivisionError" in shown(app)
        assert app.chat.composer.text == "hello"
        await pilot.press("enter")
        await until(pilot, lambda: "How are you?" in shown(app))


async def test_an_error_in_another_worker_is_shown() -> None:
    session = StandIn()

    async def broken() -> None:
        raise ZeroDivisionError

    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        app.chat.run_worker(broken(), exit_on_error=False)
        await until(pilot, lambda: "Something broke: ZeroDivisionError" in shown(app))


async def test_a_model_that_does_not_load_is_explained() -> None:
    app = app_with(StandIn(loads=BROKEN))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await until(pilot, lambda: "Download it again." in shown(app))
        assert "could not be loaded" in shown(app)


async def test_the_context_is_full() -> None:
    app = app_with(StandIn([Script(skipped=3)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "the 3 oldest turns are no longer seen by the model" in shown(app)


async def test_a_flag_on_the_reply_is_shown() -> None:
    judged = verdict(Severity.CAUTION, RULE)
    reply = replace(judged, subject="reply")
    app = app_with(StandIn([Script(reply_verdict=reply)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "The reply" in shown(app)
        assert "→ shown, flag noted" in shown(app)


async def test_resizing_while_streaming_folds_the_panel() -> None:
    gate = asyncio.Event()
    session = StandIn([Script([FLAGGED], pieces=("one ", "two ", "three"), gate=gate)])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: "one two" in shown(app))
        for size in ((80, 24), (40, 10), (20, 5), (140, 45), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        gate.set()
        await until(pilot, lambda: not app.chat.running)
        await until(pilot, lambda: "one two three" in shown(app))
        assert not app.chat.query_one("#panel").display
        assert "◑ probably needs caution 62 %" in plain(app.chat.query_one("#guard-line", Static))
        await pilot.press("f3")
        assert app.chat.query_one("#panel").display


async def test_palette_commands_change_policy_and_guard() -> None:
    session = StandIn()
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        for words, done in (
            ("relaxed", lambda: session.policy.name == "relaxed"),
            ("off", lambda: session.guard_off),
        ):
            await pilot.press("ctrl+p")
            await until(pilot, lambda: app.screen is not app.chat)
            await pilot.press(*words)
            await pilot.pause(0.3)
            await pilot.press("enter")
            await until(pilot, done)
            await until(pilot, lambda: app.screen is app.chat)
        assert "relaxed" in shown(app)


async def test_keys_in_the_bottom_line_can_be_clicked() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        row = SIZE[1] - 1
        column = shown(app).splitlines()[row].index("F3")
        await pilot.click(offset=(column, row))
        await until(pilot, lambda: not app.chat.query_one("#panel").display)
        column = shown(app).splitlines()[row].index("F1")
        await pilot.click(offset=(column, row))
        await until(pilot, lambda: app.screen is not app.chat)


async def test_a_guard_that_is_not_there_is_not_said_to_be_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = StandIn(guard_off=True)
    monkeypatch.setattr(session, "switch_guard", lambda off: None)
    app = app_with(session)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await started(pilot, app)
        switch_guard(app.chat, False)
        await until(pilot, lambda: "without a guard" in shown(app))
        assert "GUARD OFF" in shown(app)


async def test_new_conversation_keeps_what_is_being_written() -> None:
    session = StandIn()
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        await pilot.press("d", "ctrl+n")
        await until(pilot, lambda: not app.chat.query(TurnView))
        assert app.chat.composer.text == "d"
        assert "A private chat" in shown(app)
        assert not app.chat.query(Reply)


async def test_copy_says_what_was_done() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        await pilot.press("ctrl+y")
        assert app.clipboard == "Hello! How are you?"
        await until(pilot, lambda: "19 characters" in shown(app))


async def test_earlier_flags_can_be_looked_at_by_key() -> None:
    session = StandIn([Script([FLAGGED]), Script([CASUAL])])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "first")
        await say(pilot, app, "second")
        await pilot.press("ctrl+up")
        assert "turn 1 of 2" in shown(app)
        assert "◑ probably needs caution" in shown(app)
        await pilot.press("ctrl+down")
        assert "turn 1 of 2" not in shown(app)


async def test_a_turn_that_a_crash_cut_off_says_so() -> None:
    cut_off = replace(finished(1, "hello", "half a"), stop_reason=StopReason.PENDING)
    app = app_with(StandIn(turns=[cut_off]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await until(pilot, lambda: "cut off here" in shown(app))
        assert "half a" in shown(app)
        await pilot.press("up")
        assert app.chat.composer.text == "hello"


async def test_help_explains_and_closes() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=(100, 60)) as pilot:
        await started(pilot, app)
        await pilot.press("f1")
        for words in ("oa-chat --model PATH", "needs intervention", "asks you first", "Ctrl+J"):
            assert words in shown(app)
        await pilot.press("escape")
        assert app.screen is app.chat


async def test_quitting_stops_the_reply_and_closes_the_session() -> None:
    session = StandIn([Script(gate=asyncio.Event())])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await pilot.press("ctrl+q")
        await until(pilot, session.stopped.is_set)
    assert session.closed
    assert session.conversation.turns[-1].reply == "Hello! "


def broken(*_: object) -> None:
    raise ZeroDivisionError


async def never(*_: object) -> None:
    await asyncio.Event().wait()


def held_streams(
    session: StandIn, monkeypatch: pytest.MonkeyPatch
) -> list[AsyncGenerator[Event, None]]:
    """The streams that the session gives out, kept so that no garbage collection closes them."""
    streams: list[AsyncGenerator[Event, None]] = []
    send = session.send

    def keep(text: str, ask: Ask) -> AsyncGenerator[Event, None]:
        streams.append(send(text, ask))
        return streams[-1]

    monkeypatch.setattr(session, "send", keep)
    return streams


async def test_the_stream_is_closed_when_showing_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StandIn()
    streams = held_streams(session, monkeypatch)
    monkeypatch.setattr(TurnView, "write", broken)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "ZeroDivisionError" in shown(app)
        assert streams[0].ag_frame is None  # closed


async def test_the_stream_is_closed_when_showing_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = StandIn()
    streams = held_streams(session, monkeypatch)
    monkeypatch.setattr(TurnView, "write", never)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        assert streams[0].ag_frame is not None
        app.chat.workers.cancel_group(app.chat, "chat")
        await until(pilot, lambda: not app.chat.running)
        assert streams[0].ag_frame is None


async def test_loading_is_closed_when_showing_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StandIn()
    stream = session.load()
    monkeypatch.setattr(session, "load", lambda: stream)
    app = app_with(session)
    monkeypatch.setattr(app.chat.header, "follow", broken)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "ZeroDivisionError" in shown(app))
        assert stream.ag_frame is None


async def test_nothing_is_drawn_before_the_message_is_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = StandIn()
    app = app_with(session)
    seen: list[tuple[int, int]] = []
    send = session.send

    async def look(text: str, ask: Ask) -> AsyncGenerator[Event, None]:
        seen.append((len(app.chat.query(TurnView)), len(app.chat.query(Welcome))))
        async with aclosing(send(text, ask)) as events:
            async for event in events:
                yield event

    monkeypatch.setattr(session, "send", look)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert seen == [(0, 1)]
        assert "How are you?" in shown(app)


async def test_a_message_that_cannot_be_saved_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StandIn()
    app = app_with(session)

    async def full(text: str, ask: Ask) -> AsyncGenerator[Event, None]:
        app.chat.composer.editor.insert("since")  # typed before the answer came
        failed = Turn(id=0, user=text, stop_reason=StopReason.FAILED)
        yield Failed(failed, OaChatError("The disk is full.", "Make room."))

    monkeypatch.setattr(session, "send", full)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert app.chat.composer.text == "hello\nsince"
        assert "The disk is full." in shown(app)
        assert "back in the composer" in shown(app)


async def test_stopping_takes_a_question_away_that_help_covers() -> None:
    session = StandIn([Script([NONE])])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Hold))
        app.chat.action_help()
        await until(pilot, lambda: isinstance(app.screen, Help))
        app.chat.workers.cancel_group(app.chat, "chat")
        await until(pilot, lambda: not app.chat.running)
        await until(pilot, lambda: app.screen_stack == [app.chat])
        await pilot.press("x")
        assert app.chat.composer.text == "x"


async def test_another_policy_keeps_the_users_own_levels() -> None:
    session = StandIn(overrides={Severity.CASUAL: Action.NUDGE})
    app = app_with(session)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await started(pilot, app)
        texts = {command.title: command.help for command in commands(app.chat)}
        assert "(in use)" in texts["Policy: balanced"]
        assert "(in use)" not in texts["Policy: strict"]
        for name in ("balanced", "strict"):
            choose_policy(app.chat, name)
            assert session.policy.actions[Severity.CASUAL] is Action.NUDGE
            await until(pilot, lambda name=name: f"The {name} (changed) policy" in shown(app))


async def test_a_confirmed_message_without_a_rule_is_not_said_to_be_unchecked() -> None:
    gate = asyncio.Event()
    session = StandIn([Script([verdict(Severity.CAUTION)], gate=gate)], policy=STRICT)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "see [1]", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("s")
        await until(pilot, lambda: "sent as typed" in shown(app))
        gate.set()
        await until(pilot, lambda: not app.chat.running)
