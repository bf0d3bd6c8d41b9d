"""`oa-chat`: opens the chat, on the screen or as plain lines."""

from __future__ import annotations

import asyncio
import sys

from oa_chat import catalog
from oa_chat.assembly import Flags, build_session
from oa_chat.commands.help import help_lines
from oa_chat.commands.terminal import is_terminal
from oa_chat.errors import UsageError

_RECALLED = 200
"""How many earlier messages the up-arrow reaches."""


def open_chat(flags: Flags, *, resume: bool, plain: bool) -> int:
    """Open the chat and return the exit code when it is left."""
    settings = flags.settings()
    if not plain and not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise UsageError(
            "The chat needs a terminal.",
            'Use `oa-chat ask "text"` in scripts, or --plain for a chat in lines.',
        )
    session = build_session(settings, flags.store_path(), resume=resume, shelf=flags.shelf())
    notices = [catalog.STARTER.hint] if session.starter else []
    if plain:
        from oa_chat.commands.plain import PlainChat

        return asyncio.run(PlainChat(session, lambda: help_lines(settings)).run(notices))
    from oa_chat.ui.app import OaChatApp

    app = OaChatApp(
        session,
        notices=notices,
        help_lines=lambda: help_lines(settings),
        typed_history=session.store.typed_messages(_RECALLED),
    )
    app.run()
    return app.return_code or 0
