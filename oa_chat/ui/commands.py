"""The commands of the palette (Ctrl+P)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from oa_chat.errors import OaChatError
from oa_chat.ui.model_loading import idle_report

if TYPE_CHECKING:
    from oa_chat.ui.chat_screen import ChatScreen


def commands(chat: ChatScreen) -> Iterable[SystemCommand]:
    """What the palette offers, beside the theme and quitting."""
    yield SystemCommand("New conversation", "Begin anew (Ctrl+N)", chat.action_new_conversation)
    for name in chat.session.policies.names():
        current = " (in use)" if chat.session.policy.chosen_by == name else ""
        help_text = f"Use the {name} policy from the next message on{current}"
        yield SystemCommand(f"Policy: {name}", help_text, partial(choose_policy, chat, name))
    if chat.session.guard_off:
        yield SystemCommand("Guard: on", "Judge messages again", partial(switch_guard, chat, False))
    else:
        off = partial(switch_guard, chat, True)
        yield SystemCommand("Guard: off", "For this conversation only", off)
    yield SystemCommand("Guard panel", "Show or fold it (F3)", chat.action_toggle_panel)
    yield SystemCommand("What was sent", "Show or fold it (F4)", chat.action_toggle_sent)
    yield SystemCommand("This flag is wrong", "Say what it should be (F6)", chat.action_feedback)
    yield SystemCommand("Copy last reply", "To the clipboard (Ctrl+Y)", chat.action_copy_reply)
    yield SystemCommand("Help", "Keys, flags, policies (F1)", chat.action_help)


def choose_policy(chat: ChatScreen, name: str) -> None:
    """Change the policy, from the next message on."""
    try:
        chat.session.choose_policy(name)
    except OaChatError as error:
        chat.show_error(error)
        return
    chat.refresh_state()
    used = f"The {chat.session.policy.name} policy is used from the next message on."
    chat.notify(used, markup=False)


def switch_guard(chat: ChatScreen, off: bool) -> None:
    """Switch the guard off or on for this conversation."""
    try:
        chat.session.switch_guard(off)
    except OaChatError as error:
        chat.show_error(error)
        return
    chat.refresh_state()
    if not chat.session.conversation.turns:
        chat.show_report(idle_report(chat))
    if chat.session.guard_off is not off:
        chat.notify("This chat was started without a guard; oa-chat --guard NAME has one.")
        return
    state = "off for this conversation" if off else "on again"
    chat.notify(f"The guard is {state}.")


def copy_reply(chat: ChatScreen) -> None:
    """Copy the last reply through the terminal (OSC 52), and say so."""
    replies = [turn.reply for turn in chat.session.conversation.turns if turn.reply]
    if not replies:
        chat.notify("There is no reply to copy yet.")
        return
    chat.app.copy_to_clipboard(replies[-1])
    chat.notify(
        f"{len(replies[-1]):,} characters given to the terminal's clipboard (OSC 52). If "
        "pasting brings nothing, your terminal does not allow that.",
        title="Last reply copied",
    )
