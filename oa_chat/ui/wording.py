"""Symbols and words for what the guard said and what was done. Pure; no widgets.

A flag is information, not a scolding: short and kind. Each level has a symbol, a colour and words,
so that it can be told apart without colour and read aloud.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from oa_chat.conversation import StopReason, Turn, WithdrawnReply
from oa_chat.policy import Action
from oa_chat.ui.texts import one_line
from oa_chat.verdict import Severity, Verdict
from oa_chat.wording import ACTIONS, SYMBOLS, UNREAD_SYMBOL, certainty_words

SHORT_WORDS = ("casual", "possibly", "probably", "needs caution", "intervention")
STYLES = ("$flag-casual", "$flag-possibly", "$flag-probably", "$flag-caution", "$flag-intervention")
MEANINGS = (
    "nothing to note",
    "may touch on something delicate",
    "likely touches on something delicate",
    "could hurt someone",
    "someone may need help now",
)
UNREAD_STYLE = "$flag-unread"
UNCHECKED_SYMBOL = "–"
UNCHECKED_STYLE = "$quiet"

_UNSENT = {
    StopReason.BLOCKED: "not sent",
    StopReason.STOPPED: "not sent",
    StopReason.FAILED: "not sent",
    StopReason.WITHDRAWN: "taken back, not sent",
}


def mark(verdict: Verdict | None) -> tuple[str, str]:
    """Symbol and style of a verdict; a dash for a message that no guard has seen."""
    if verdict is None:
        return UNCHECKED_SYMBOL, UNCHECKED_STYLE
    if verdict.severity is None:
        return UNREAD_SYMBOL, UNREAD_STYLE
    return SYMBOLS[verdict.severity], STYLES[verdict.severity]


def flag_words(verdict: Verdict | None) -> str:
    """A verdict in words."""
    if verdict is None:
        return "not checked"
    return "no verdict" if verdict.severity is None else verdict.severity.words


def flag_class(verdict: Verdict | None) -> str:
    """The CSS class that colours a block for a verdict."""
    if verdict is None:
        return "flag-none"
    if verdict.severity is None:
        return "flag-unread"
    return f"flag-{verdict.severity.name.lower()}"


FLAG_CLASSES = ("flag-none", "flag-unread", *(f"flag-{level.name.lower()}" for level in Severity))


def worth_a_line(verdict: Verdict, action: Action | None) -> bool:
    """Whether a flag belongs below the message: not for a casual one that simply goes."""
    return verdict.flagged or action not in (None, Action.PASS) or not verdict.language_known


def action_words(action: Action, verdict: Verdict) -> str:
    """What is done, with a mark for a message that goes although its language is not known."""
    if action in (Action.PASS, Action.NUDGE) and not verdict.language_known:
        return f"{ACTIONS[action]}, in a language the guard does not know"
    return ACTIONS[action]


def outcome(turn: Turn) -> str:
    """What was done with a message, in plain words."""
    if turn.sent is None:
        return _UNSENT.get(turn.stop_reason, "not sent yet")
    if turn.action is None or turn.verdict is None:
        return "sent unchecked"
    if turn.action is Action.CONFIRM:
        return "sent with a guideline, after asking you"
    if turn.action is Action.HOLD:
        return "sent unchecked, as you decided"
    return action_words(turn.action, turn.verdict)


def reply_outcome(turn: Turn) -> str:
    """What was done with the reply, in plain words; empty if it was not judged by any rule."""
    said = turn.reply_verdict
    if turn.stop_reason is StopReason.FLAGGED:
        return "both tries withdrawn"
    if turn.stop_reason is StopReason.UNJUDGED:
        return "ends where there was no verdict"
    if said is None:
        return ""
    shown = "second try shown" if turn.withdrawn else "shown"
    if not said.readable:
        return f"{shown}, not judged"
    if not said.language_known:
        shown = f"{shown}, in a language the guard does not know"
    return f"{shown}, flag noted" if said.flagged else shown


def withdrawn_line(withdrawn: WithdrawnReply) -> Content:
    """A withdrawn reply on one line."""
    flag = withdrawn.verdicts[-1] if withdrawn.verdicts else None
    return Content.assemble(("withdrawn reply · ", "$quiet"), flag_line(flag, ""))


def unjudged_line(turn: Turn) -> Content | None:
    """That a reply was shown and the guard gave no verdict on it; None if that is not so."""
    said = turn.reply_verdict
    if said is None or said.readable or turn.stop_reason is StopReason.UNJUDGED:
        return None
    return Content.assemble(("the reply: ", "$quiet"), flag_line(said, "shown, not judged"))


def flag_line(verdict: Verdict | None, done: str, *, rule: bool = False) -> Content:
    """The verdict on one line: symbol, words, certainty, what was done, and maybe the rule."""
    symbol, style = mark(verdict)
    parts: list[Content | tuple[str, str]] = [
        (f"{symbol} ", style),
        (flag_words(verdict), f"{style} bold" if verdict and verdict.flagged else style),
    ]
    if certainty := certainty_words(verdict):
        parts.append((f" {certainty}", "$quiet"))
    if done:
        parts.append((f" · {done}", "$quiet"))
    if rule and verdict and verdict.rule:
        parts.append((f" · {one_line(verdict.rule)}", "$foreground"))
    return Content.assemble(*parts)


_ENDINGS = {
    StopReason.LENGTH: ("■ cut off at the length limit · ask to go on", "$quiet"),
    StopReason.WITHDRAWN: ("■ taken back · not sent", "$quiet"),
    StopReason.BLOCKED: ("■ not sent: this policy does not send such a message", "$warning"),
    StopReason.FLAGGED: (
        "■ no reply: the guard flagged the second try as well · word your message differently",
        "$warning",
    ),
    StopReason.PENDING: ("■ cut off here: the program ended before the reply did", "$quiet"),
}


def ending(turn: Turn) -> tuple[str, str]:
    """A note below a reply that did not simply finish, and its style; or two empty strings."""
    match turn.stop_reason:
        case StopReason.STOPPED:
            kept = "the reply so far is kept" if turn.reply else "no reply yet"
            return f"■ stopped · {kept}", "$quiet"
        case StopReason.UNJUDGED:
            why = one_line(turn.failure or "it failed", 200)
            words = f"■ the reply ends here, the guard gave no verdict on the rest: {why}"
            return f"{words}\nSend it again, or switch the guard off with Ctrl+P.", "$warning"
        case StopReason.FAILED:
            return f"✗ {one_line(turn.failure or 'something went wrong', 400)}", "$error"
        case reason:
            return _ENDINGS.get(reason, ("", ""))


def strip(verdicts: Sequence[Verdict | None], columns: int) -> Content:
    """One symbol for each turn, newest right, no wider than `columns`."""
    fits = max(1, (columns - 2) // 2)
    shown = verdicts[-fits:]
    parts: list[Content | tuple[str, str]] = []
    if len(shown) < len(verdicts):
        parts.append(("… ", "$quiet"))
    for verdict in shown:
        symbol, style = mark(verdict)
        parts.append((f"{symbol} ", style))
    return Content.assemble(*parts)
