"""Symbols and words for what the guard said and what was done, on the screen and off it.

A flag is information, not a scolding: short and kind. Each level has a symbol and words, so that it
can be told apart without colour and read aloud.
"""

from __future__ import annotations

from oa_chat.policy import Action
from oa_chat.verdict import RuleSource, Verdict

SYMBOLS = ("○", "◔", "◑", "●", "✚")
"""By severity."""
UNREAD_SYMBOL = "?"
"""For a guard that gave no verdict."""

ACTIONS = {
    Action.PASS: "sent as typed",
    Action.NUDGE: "sent with a guideline",
    Action.CONFIRM: "asks you first",
    Action.BLOCK: "not sent",
    Action.HOLD: "held back, for you to decide",
}
SOURCES: dict[RuleSource, str] = {
    "": "",
    "model": "written by the guard",
    "writer": "from the rule writer",
    "rulebook": "from the rulebook",
    "user": "from your rules",
    "general": "the general rule",
}


def certainty_words(verdict: Verdict | None) -> str:
    """The certainty as a percentage, or an empty string."""
    certainty = verdict.certainty if verdict else None
    return "" if certainty is None else percent(certainty)


def percent(share: float) -> str:
    """A share as a percentage that never claims to be certain."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share * 100:.0f} %"


def not_sent(action: Action) -> str:
    """Why a message was not sent, and what to do, outside the screen."""
    if action is Action.CONFIRM:
        return "Not sent. Word it differently, or send it with the guideline."
    if action is Action.HOLD:
        return "Not sent: the guard gave no verdict. Try again, or see what `oa-chat doctor` says."
    return "Not sent: the policy blocks it. Word it differently, or choose another --policy."


def left_out(turns: int) -> str:
    """That the oldest turns no longer fit into the model's context."""
    if turns == 1:
        return "The oldest turn no longer fits and was left out."
    return f"The oldest {turns} turns no longer fit and were left out."


def symbol(verdict: Verdict) -> str:
    """The symbol of a verdict's level."""
    return UNREAD_SYMBOL if verdict.severity is None else SYMBOLS[verdict.severity]
