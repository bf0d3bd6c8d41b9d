"""The terminal application."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from textual.app import App, SystemCommand
from textual.screen import Screen

from oa_chat.ui.chat_screen import ChatScreen
from oa_chat.ui.commands import commands
from oa_chat.ui.theme import DARK, THEMES, variable_defaults

if TYPE_CHECKING:  # the session brings engines and stores along; the first paint needs neither
    from oa_chat.session import ChatSession

_QUIT_SECONDS = 2.0
"""How long quitting waits for a running reply to be saved."""


def _general_help() -> Sequence[str]:
    return ("If you or someone else is in danger, please call your local emergency number now.",)


class OaChatApp(App[None]):
    """A private chat with a guard that one can see."""

    TITLE = "oa-chat"
    CSS_PATH = "app.tcss"
    PAUSE_GC_ON_SCROLL = True

    def __init__(
        self,
        session: ChatSession,
        *,
        notices: Sequence[str] = (),
        help_lines: Callable[[], Sequence[str]] = _general_help,
        typed_history: Sequence[str] = (),
    ) -> None:
        """Show a session.

        Args:
            session: What talks to the models. The app closes it in the end.
            notices: Lines shown above the conversation.
            help_lines: Where a person can get help; asked for when it is needed.
            typed_history: Messages typed earlier, oldest first, for the Up key.
        """
        super().__init__()
        self.session = session
        self.chat = ChatScreen(session, notices, help_lines, typed_history)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name

    def get_default_screen(self) -> Screen[None]:
        """The chat is the first screen."""
        return self.chat

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of the flags for themes that do not have them."""
        return variable_defaults(self.current_theme.dark)

    def on_ready(self) -> None:
        """What lives as long as the app need not be looked at by every garbage collection."""
        gc.freeze()

    async def on_unmount(self) -> None:
        """End the models."""
        await self.session.close()

    async def action_quit(self) -> None:
        """Quit; a running reply is stopped and saved first."""
        self.session.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.chat.idle.wait(), _QUIT_SECONDS)
        self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The commands of the palette (Ctrl+P)."""
        yield from commands(self.chat)
        yield SystemCommand("Theme", "Colours of the screen", self.action_change_theme)
        yield SystemCommand("Quit", "Everything is saved", self.action_quit)
