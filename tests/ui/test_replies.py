"""Judged replies on the screen: both verdicts, what is held back, and what was withdrawn."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from textual.widgets import Markdown

from oa_chat.conversation import StopReason, WithdrawnReply
from oa_chat.ui.guard_panel import GuardLine
from oa_chat.ui.turn_view import OldTurn, TurnView
from oa_chat.ui.withdrawn import WithdrawnView
from oa_chat.ui.working import Working
from oa_chat.verdict import Severity, Verdict, unreadable
from tests.ui.driving import SIZE, app_with, plain, say, shown, started, until
from tests.ui.stand_in import CASUAL, FLAGGED, RULE, Script, StandIn, finished, verdict

FLAG = replace(verdict(Severity.CAUTION, RULE), subject="reply")
PASSED = replace(CASUAL, subject="reply")
DEAD = unreadable("minilm-l6", "The guard's process was killed.", subject="reply")
TAKEN = WithdrawnReply("Tell *everyone* his secret.", (FLAG,), "hi")


def kept_of(app_text: str) -> bool:
    return "Tell everyone" in app_text or "Tell *everyone*" in app_text


@pytest.mark.parametrize(
    ("judged", "words"),
    [(PASSED, "→ shown"), (FLAG, "→ shown, flag noted"), (DEAD, "→ shown, not judged")],
)
async def test_the_panel_has_both_verdicts(judged: Verdict, words: str) -> None:
    app = app_with(StandIn([Script([FLAGGED], reply_verdict=judged)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        text = shown(app)
        assert "probably needs caution" in text
        assert text.index("The reply") < text.index(words)


async def test_the_folded_line_has_both_verdicts() -> None:
    app = app_with(StandIn([Script([CASUAL], reply_verdict=PASSED)] * 2))
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert plain(app.chat.query_one(GuardLine)).endswith("reply ○")


async def test_a_flag_that_is_only_noted_stays_out_of_the_conversation() -> None:
    app = app_with(StandIn([Script(reply_verdict=FLAG)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert not app.chat.query("TurnView .flag")


async def test_an_unjudged_reply_is_marked() -> None:
    app = app_with(StandIn([Script(reply_verdict=DEAD)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "the reply: ? no verdict · shown, not judged" in shown(app)


async def test_held_text_is_a_quiet_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    app = app_with(StandIn([Script(pieces=("One.", " Two."), held=True, gate=gate)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: "the guard is reading the reply" in shown(app))
        assert "One." in shown(app)
        assert "Two." not in shown(app)
        gate.set()
        await until(pilot, lambda: not app.chat.running)
        assert "One. Two." in shown(app)
        assert not app.chat.query(Working)


async def test_stop_while_text_is_held_takes_the_sign_away() -> None:
    app = app_with(StandIn([Script(pieces=("One.", " Two."), held=True, gate=asyncio.Event())]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: "the guard is reading the reply" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.running)
        assert not app.chat.query(Working)
        assert "stopped · the reply so far is kept" in shown(app)


async def test_a_withdrawn_reply_is_folded_and_can_be_unfolded() -> None:
    app = app_with(StandIn([Script(withdrawn=[TAKEN], pieces=("Talk to him.",))]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "withdrawn reply · ● needs caution" in shown(app)
        assert not kept_of(shown(app))
        assert "Talk to him." in shown(app)
        assert len(app.chat.query(Markdown)) == 1
        await pilot.press("f5")
        await pilot.pause()
        assert kept_of(shown(app))
        await pilot.press("f5")
        await pilot.pause()
        assert not kept_of(shown(app))
        await pilot.click(".withdrawn-title")
        await pilot.pause()
        assert kept_of(shown(app))
        assert app.focused is app.chat.composer.editor


async def test_text_of_a_withdrawn_reply_is_only_text() -> None:
    sly = replace(TAKEN, text="[bold]x[/] \x1b[2J \u202e [@click=app.quit]go[/]")
    app = app_with(StandIn([Script(withdrawn=[sly])]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        await pilot.press("f5")
        await pilot.pause()
        assert "[bold]x[/] ␛[2J" in shown(app)
        assert "\u202e" not in shown(app)


async def test_strict_says_how_much_was_never_shown() -> None:
    held = replace(TAKEN, text="", unshown=1234)
    app = app_with(StandIn([Script(withdrawn=[held])]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        await pilot.press("f5")
        await pilot.pause()
        assert "1,234 more characters were never shown" in shown(app)


async def test_two_flags_end_with_an_explanation() -> None:
    script = Script(withdrawn=[TAKEN, TAKEN], withheld=StopReason.FLAGGED)
    app = app_with(StandIn([script]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert len(app.chat.query(WithdrawnView)) == 2
        assert "no reply: the guard flagged the second try as well" in shown(app)
        assert "→ both tries withdrawn" in shown(app)
        await pilot.press("f5")
        assert all(view.unfolded for view in app.chat.query(WithdrawnView))


async def test_a_dead_guard_in_strict_is_explained() -> None:
    app = app_with(StandIn([Script(reply_verdict=DEAD, withheld=StopReason.UNJUDGED)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        text = " ".join(shown(app).split())
        assert "the reply ends here" in text
        assert "switch the guard off with Ctrl+P" in text


async def test_f5_without_a_withdrawn_reply_does_nothing() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        before = shown(app)
        await pilot.press("f5")
        await pilot.pause()
        assert shown(app) == before


async def test_stored_turns_show_what_was_withdrawn() -> None:
    turn = replace(finished(1, "hi", "Talk to him."), withdrawn=(TAKEN,))
    turns = [replace(turn, id=number) for number in range(1, 12)]
    app = app_with(StandIn(turns=turns))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        assert "withdrawn reply" in plain(app.chat.query(OldTurn).last())
        await pilot.press("f5")
        await pilot.pause()
        assert app.chat.query(TurnView).last().query_one(WithdrawnView).unfolded
        assert sum(view.unfolded for view in app.chat.query(WithdrawnView)) == 1


async def test_a_reply_that_was_not_judged_stays_marked_further_up() -> None:
    unjudged = replace(finished(1, "hi", "Hello."), verdicts=(CASUAL, DEAD))
    old = OldTurn(unjudged)
    assert "the reply: ? no verdict · shown, not judged" in plain(old)
    assert "the reply" not in plain(OldTurn(finished(2, "hi", "Hello.")))


async def test_f6_says_that_it_is_about_the_message() -> None:
    app = app_with(StandIn([Script(reply_verdict=FLAG)]))
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        await pilot.press("f6")
        await until(pilot, lambda: "This is about your message." in shown(app))


async def test_a_screen_that_is_resized_keeps_text_held_back() -> None:
    gate = asyncio.Event()
    app = app_with(StandIn([Script(pieces=("One.", " Two."), held=True, gate=gate)]))
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        for columns in (140, 44, 100):
            await until(pilot, lambda: "the guard is reading the reply" in shown(app))
            assert "Two." not in shown(app)
            await pilot.resize_terminal(columns, 24)
        gate.set()
        await until(pilot, lambda: not app.chat.running)
        assert "One. Two." in shown(app)
