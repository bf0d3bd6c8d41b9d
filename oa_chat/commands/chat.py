"""`oa-chat`: opens the chat, on the screen or as plain lines."""

from __future__ import annotations

import asyncio
import os
import sys

from oa_chat import catalog
from oa_chat.assembly import Flags, build_session
from oa_chat.config import Settings
from oa_chat.errors import UsageError
from oa_chat.help_lines import country_from_locale, lines_for

_RECALLED = 200
"""How many earlier messages the up-arrow reaches."""


def open_chat(flags: Flags, *, resume: bool, plain: bool) -> int:
    """Open the chat and return the exit code when it is left."""
    settings = flags.settings()
    if not plain and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "The chat needs a terminal.",
            'Use `oa-chat ask "text"` in scripts, or --plain for a chat in lines.',
        )
    session = build_session(settings, flags.store_path(), resume=resume)
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


def help_lines(settings: Settings) -> list[str]:
    """Where a person can get help, in lines: the settings' country, else the locale's."""
    found = lines_for(settings.help.country or country_from_locale(os.environ))
    assumed = f" ({found.name})" if found.name else ""
    lines = [f"You do not have to carry this alone. Someone to talk to{assumed}:"]
    if found.emergency:
        lines.append(f"In danger right now: {found.emergency}")
    for line in (*found.lines, found.international):
        reach = ", ".join(part for part in (line.number, line.url) if part)
        hours = f" ({line.hours})" if line.hours else ""
        lines.append(f"{line.name}: {reach}{hours}")
    return lines
