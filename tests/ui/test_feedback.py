"""F6 on the screen: saying which flag would have been right, and taking it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from oa_chat.corrections import Corrections
from oa_chat.errors import StoreError
from oa_chat.policies.shelf import shipped
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store
from oa_chat.ui.app import OaChatApp
from oa_chat.ui.feedback import Feedback
from oa_chat.verdict import Severity
from tests.scripted import ScriptedChat, ScriptedGuard
from tests.scripted import verdict as flag
from tests.ui.driving import SIZE, app_with, say, started, until
from tests.ui.stand_in import CAUTION, FLAGGED, RULE, Script, StandIn, finished, verdict
from tests.ui.test_snapshots import SECRET, Snap, after

SMALL = (80, 24)
EARLIER = [
    finished(1, "Hi! What can I cook with rice?", "*Fried rice* works with what is left over."),
    finished(2, "I could murder a curry", "Then try a quick one.", verdict(Severity.CAUTION, RULE)),
]


@pytest.fixture(autouse=True)
def nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


def shown(app: object, name: str) -> str:
    return str(app.chat.query_one(name, Static).content)  # type: ignore[attr-defined]


async def test_a_flag_is_corrected_shown_and_taken_back() -> None:
    session = StandIn(turns=EARLIER)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.press("1")
        await until(pilot, lambda: app.screen is app.chat)
        assert session.said[2].severity is Severity.CASUAL
        assert "you said: ○ casual" in shown(app, "#headline")
        assert "needs caution" in shown(app, "#headline")  # the verdict stays
        assert session.conversation.turns == tuple(EARLIER)
        await pilot.press("f6", "t")
        await until(pilot, lambda: not session.said)
        assert "you said" not in shown(app, "#headline")


async def test_the_folded_panel_says_it_too() -> None:
    session = StandIn(turns=EARLIER)
    app = app_with(session)
    async with app.run_test(size=SMALL) as pilot:
        await started(pilot, app)
        await pilot.press("f6", "1")
        await until(pilot, lambda: app.screen is app.chat)
        assert shown(app, "#guard-line").startswith("you said: casual · ● needs caution")


async def test_a_missing_flag_and_a_note_for_an_earlier_message() -> None:
    session = StandIn(turns=EARLIER)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("ctrl+up", "f6")
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.press("n", *"12 guests", "enter", "down", "down", "enter")
        await until(pilot, lambda: app.screen is app.chat)
        assert (session.said[1].severity, session.said[1].note) == (Severity.PROBABLY, "12 guests")
        assert "you said: ◑ probably needs caution" in shown(app, "#headline")
        await pilot.press("ctrl+down")
        assert "you said" not in shown(app, "#headline")
        await pilot.press("ctrl+up", "f6")
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        assert app.screen.query_one("#note", Input).value == "12 guests"


async def test_it_is_in_the_store_and_comes_back_with_the_conversation(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite3"

    def real() -> OaChatApp:
        store = Store(path)
        guard = ScriptedGuard(verdicts=[flag(Severity.PROBABLY)])
        setup = ChatSetup(ScriptedChat(), "scripted", guard, store, shipped()["balanced"])
        return OaChatApp(ChatSession(setup, store.last_conversation()))

    app = real()
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "I could kill for a pizza")
        await pilot.press("f6", "1")
        await until(pilot, lambda: app.screen is app.chat)
        assert "you said: ○ casual" in shown(app, "#headline")
    store = Store(path)
    (kept,) = Corrections(store).all()
    assert (kept.text, kept.severity) == ("I could kill for a pizza", Severity.CASUAL)
    assert kept.verdict is not None
    assert kept.verdict.severity is Severity.PROBABLY
    app = real()
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.press("t")
        await until(pilot, lambda: app.screen is app.chat)
    assert Corrections(store).all() == []


async def test_escape_says_nothing_and_the_draft_stays() -> None:
    session = StandIn(turns=EARLIER)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press(*"half a", "f6", "escape", *" sentence")
        assert app.chat.composer.text == "half a sentence"
        assert session.said == {}


async def test_without_a_message_it_says_so() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("f6")
        await pilot.pause()
        assert app.screen is app.chat
        assert any("no message yet" in one.message for one in app._notifications)


async def test_a_store_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StandIn(turns=EARLIER)

    def fails(*_said: object) -> None:
        raise StoreError("The disk is full.", "Free some space.")

    monkeypatch.setattr(session, "correct", fails)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("f6", "2")
        await until(pilot, lambda: app.screen is app.chat)
        assert any("The disk is full." in one.message for one in app._notifications)
        assert "you said" not in shown(app, "#headline")


async def test_the_palette_offers_it() -> None:
    app = app_with(StandIn(turns=EARLIER))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        offered = {command.title: command for command in app.get_system_commands(app.screen)}
        offered["This flag is wrong"].callback()
        await until(pilot, lambda: isinstance(app.screen, Feedback))


# ---------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [SMALL, (140, 45)], ids=["small", "large"])
def test_the_question(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([FLAGGED])]))

    async def act(pilot: Pilot[None]) -> None:
        await after(app, SECRET, "f6")(pilot)
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=size, run_before=act)


def test_what_was_said_in_a_narrow_terminal(snap_compare: Snap) -> None:
    app = app_with(StandIn([Script([CAUTION])]))

    async def act(pilot: Pilot[None]) -> None:
        await after(app, SECRET, "f6")(pilot)
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.press("1")
        await until(pilot, lambda: app.screen is app.chat)
        app.clear_notifications()
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SMALL, run_before=act)


@pytest.mark.parametrize("size", [SMALL, (140, 45)], ids=["small", "large"])
def test_what_was_said_in_the_panel(snap_compare: Snap, size: tuple[int, int]) -> None:
    german = replace(FLAGGED, language="de", language_known=False)
    session = StandIn([Script([german])])
    app = app_with(session)

    async def act(pilot: Pilot[None]) -> None:
        await after(app, "Ich will mich an meinem Freund rächen", "f6")(pilot)
        await until(pilot, lambda: isinstance(app.screen, Feedback))
        await pilot.press("1")
        await until(pilot, lambda: app.screen is app.chat)
        app.clear_notifications()
        if size == SMALL:
            await pilot.press("f3")
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=size, run_before=act)
