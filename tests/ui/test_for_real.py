"""The screen on the real session: with scripted models, and with the embedded ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from oa_chat.assembly import Flags, build_session
from oa_chat.conversation import StopReason
from oa_chat.errors import EngineDied
from oa_chat.policies.shelf import shipped
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store
from oa_chat.ui.app import OaChatApp
from oa_chat.ui.dialogs import Confirm, Hold
from oa_chat.verdict import Severity, unreadable
from tests.scripted import ScriptedChat, ScriptedGuard, verdict
from tests.ui.driving import SIZE, say, shown, started, until


class Parts:
    """A real session between scripted models."""

    def __init__(self, folder: Path) -> None:
        self.chat, self.guard = ScriptedChat(), ScriptedGuard()
        self.path = folder / "conversations.sqlite3"

    def session(self, policy: str = "balanced") -> ChatSession:
        """The session."""
        setup = ChatSetup(
            chat=self.chat,
            chat_name="scripted chat",
            guard=self.guard,
            store=Store(self.path),
            policy=shipped()[policy],
        )
        return ChatSession(setup)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


async def test_a_nudged_turn_is_shown_and_stored(parts: Parts) -> None:
    parts.guard.verdicts = [verdict(Severity.PROBABLY, "Be kind to your friends.")]
    session = parts.session()
    app = OaChatApp(session)
    async with app.run_test(size=(140, 45)) as pilot:
        await started(pilot, app)
        await say(pilot, app, "he is stupid")
        await pilot.press("f4")
        assert "◑ probably needs caution" in shown(app)
        assert "[Guideline: Be kind to your" in shown(app)
        assert "Hello there." in shown(app)
        assert "24/512" in shown(app) or "26/512" in shown(app)
    stored = Store(parts.path).last_conversation()
    assert stored is not None
    assert stored.turns[-1].reply == "Hello there."


async def test_esc_keeps_what_came_so_far(parts: Parts) -> None:
    parts.chat.replies = [["Part one.", " never", " seen"]]
    parts.chat.gate = asyncio.Event()
    app = OaChatApp(parts.session())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: "Part one." in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.running)
        assert "■ stopped" in shown(app)
    stored = Store(parts.path).last_conversation()
    assert stored is not None
    assert stored.turns[-1].stop_reason is StopReason.STOPPED
    assert stored.turns[-1].reply.startswith("Part one.")


async def test_a_held_message_can_be_edited(parts: Parts) -> None:
    parts.guard.verdicts = [unreadable("scripted guard", "It answered nonsense.")]
    app = OaChatApp(parts.session())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Hold))
        assert "It answered nonsense." in shown(app)
        await pilot.press("e")
        await until(pilot, lambda: not app.chat.running)
        assert app.chat.composer.text == "hello"


async def test_a_held_message_goes_on_without_the_guard(parts: Parts) -> None:
    parts.guard.verdicts = [unreadable("scripted guard", "It answered nonsense.")]
    app = OaChatApp(parts.session())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Hold))
        await pilot.press("o")
        await until(pilot, lambda: not app.chat.running)
        assert "GUARD OFF" in shown(app)
        assert "Hello there." in shown(app)


async def test_quitting_while_a_question_is_open_ends_the_app(parts: Parts) -> None:
    parts.guard.verdicts = [verdict(Severity.CAUTION)]
    app = OaChatApp(parts.session("strict"))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("ctrl+q")
    stored = Store(parts.path).last_conversation()
    assert stored is not None
    assert stored.turns[-1].user == "hello"


async def test_a_dead_engine_is_explained(parts: Parts) -> None:
    parts.chat.replies = [["Begun", EngineDied("The engine was killed.", "It starts again.")]]
    app = OaChatApp(parts.session())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        assert "Begun" in shown(app)
        assert "The engine was killed." in shown(app)


async def test_the_embedded_models_talk(tmp_path: Path) -> None:
    """Sent before anything is loaded: the message waits and is answered."""
    flags = Flags(data_dir=tmp_path)
    app = OaChatApp(build_session(flags.settings(), flags.store_path()))
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, lambda: app.chat.is_mounted and app.chat.query("#editor"))
        app.chat.composer.editor.insert("Hello! How are you?")
        await pilot.press("enter")
        await until(pilot, lambda: app.session.conversation.turns)
        await until(pilot, lambda: not app.chat.running, 60)
        turn = app.session.conversation.turns[-1]
        assert turn.stop_reason is StopReason.COMPLETE
        assert turn.verdict is not None
        assert turn.verdict.readable
        assert turn.reply
        text = shown(app)
        assert "small talk only" in text
        assert "This conversation · 1 turn" in text
        await say(pilot, app, "I want to hurt my brother.")
        assert app.session.conversation.turns[-1].verdict
        assert "2 turns" in shown(app)
