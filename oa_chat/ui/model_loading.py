"""Loads the models and puts on the screen how far they are."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from oa_chat.events import LoadEvent, LoadFailed, Ready
from oa_chat.printable import printable
from oa_chat.ui.guard_text import Report, report_of
from oa_chat.ui.welcome import failure_words

if TYPE_CHECKING:
    from oa_chat.ui.chat_screen import ChatScreen


async def load_models(chat: ChatScreen) -> None:
    """Load guard and chat model, and show it."""
    async with aclosing(chat.session.load()) as events:
        async for event in events:
            await _show(chat, event)


async def _show(chat: ChatScreen, event: LoadEvent) -> None:
    chat.header.follow(event)
    if isinstance(event, Ready):
        if event.part == "chat" and event.context:
            chat.status.context = event.context
        if event.note:
            await chat.transcript.add_notice(printable(event.note))
    elif isinstance(event, LoadFailed):
        await chat.transcript.add_notice(failure_words(event), "notice failed")
    chat.refresh_state()
    if not chat.session.conversation.turns:
        chat.show_report(idle_report(chat))


def idle_report(chat: ChatScreen) -> Report:
    """What is said about the guard while no message is on its way."""
    turns = chat.session.conversation.turns
    if turns:
        return report_of(turns[-1])
    if chat.session.guard_off:
        return Report(note="The guard is off: messages are sent as typed.")
    progress = chat.header.progress("guard")
    loading = f"The guard: {progress}." if progress else "The guard is ready."
    return Report(note=f"{loading} It reads each message before it is sent.")
