"""Driving the app in tests: waiting for what one wants to see, instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Static

from oa_chat.session import ChatSession
from oa_chat.ui.app import OaChatApp
from tests.ui.stand_in import StandIn

SIZE = (120, 40)


def app_with(session: StandIn, **more: object) -> OaChatApp:
    """The app on a stand-in."""
    return OaChatApp(cast(ChatSession, session), **more)  # type: ignore[arg-type]


async def until(pilot: Pilot[None], true: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not true():
            await pilot.pause(0.01)


async def started(pilot: Pilot[None], app: OaChatApp) -> None:
    """Wait for the first conversation to be shown and the models to be ready."""
    await until(pilot, lambda: app.chat.is_mounted and bool(app.chat.query("#earlier")))
    session = app.session
    if isinstance(session, StandIn):
        await until(pilot, session.loaded.is_set)
    await pilot.pause()


async def say(pilot: Pilot[None], app: OaChatApp, text: str, *, wait: bool = True) -> None:
    """Write a message and press Enter."""
    app.chat.composer.editor.insert(text)
    await pilot.press("enter")
    await pilot.pause()
    if wait:
        await until(pilot, lambda: not app.chat.running)
    await pilot.pause()


def plain(widget: Static) -> str:
    """What a Static shows, without styles."""
    shown = widget.content
    return shown.plain if isinstance(shown, Content) else str(shown)


def shown(app: OaChatApp) -> str:
    """All text on the screen, line by line, as it is drawn."""
    rows = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in row) for row in rows)
