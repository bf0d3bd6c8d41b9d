"""Symbols and words for what the guard said and what was done, on the screen and off it.

A flag is information, not a scolding: short and kind. Each level has a symbol and words, so that it
can be told apart without colour and read aloud.
"""

from __future__ import annotations

from oa_chat.conversation import StopReason, Turn
from oa_chat.policy import Action
from oa_chat.printable import printable
from oa_chat.verdict import RuleSource, Severity, Stage, Verdict

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


LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "mr": "Marathi", "ms": "Malay", "nl": "Dutch", "no": "Norwegian",
    "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sr": "Serbian", "sv": "Swedish", "ta": "Tamil", "te": "Telugu",
    "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""Names of frequent languages by ISO 639-1 code; others are shown as their code."""


def language_words(verdict: Verdict) -> str:
    """The language of a text, where it is worth a word: not English, or not known to the guard."""
    name = LANGUAGES.get(verdict.language, verdict.language)
    if not verdict.language_known:
        return f"{name or 'partly another one'}, which this guard does not know"
    return "" if verdict.language in ("", "en") else name


def certainty_words(verdict: Verdict | None) -> str:
    """The certainty as a percentage, or an empty string."""
    certainty = verdict.certainty if verdict else None
    return "" if certainty is None else percent(certainty)


def stage_lines(verdict: Verdict) -> list[str]:
    """What each of several guards said and what it cost, one printable line each."""
    lines = [_stage_words(number, stage) for number, stage in enumerate(verdict.stages)]
    if verdict.contradicted:
        counts = next((stage.guard for stage in verdict.stages if stage.counts), verdict.guard)
        lines.append(f"They contradict each other; {_plain(counts)} counts")
    return lines


def _stage_words(number: int, stage: Stage) -> str:
    name, why = _plain(stage.guard), _plain(stage.why)
    if not stage.asked:
        return f"{name}: not asked, {why}"
    if stage.severity is None:
        said = f"{UNREAD_SYMBOL} no verdict"
    else:
        sure = "" if stage.certainty is None else f" ({percent(stage.certainty)})"
        said = f"{SYMBOLS[stage.severity]} {Severity(stage.severity).words}{sure}"
    asked = f"; asked: {why}" if number else ""
    return f"{name}: {said}, {stage.latency_ms:,.0f} ms{asked}"


def _plain(text: str) -> str:
    return " ".join(printable(text).split())


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


def reply_flag(verdict: Verdict) -> str:
    """What the guard said about a reply, in a few words. Holds no text from others."""
    if verdict.severity is None:
        return f"{UNREAD_SYMBOL} no verdict"
    certainty = certainty_words(verdict)
    return f"{symbol(verdict)} {verdict.severity.words}" + (f" ({certainty})" if certainty else "")


def withdrawn_words(verdict: Verdict, *, again: bool) -> str:
    """That a reply was withdrawn, outside the screen."""
    said = f"Withdrawn: the guard flagged this reply ({reply_flag(verdict)})."
    return f"{said} The model is asked once more, with a guideline." if again else said


def withheld_words(turn: Turn) -> str:
    """Why the guard ended a reply, and what to do."""
    if turn.stop_reason is StopReason.FLAGGED:
        return "No reply: the guard flagged the second try as well. Word your message differently."
    return (
        "The reply ends here: the guard gave no verdict on the next part. Send the message again,"
        " or switch the guard off for this conversation."
    )


NOT_JUDGED = "The reply was not judged: the guard gave no verdict."


def left_out(turns: int) -> str:
    """That the oldest turns no longer fit into the model's context."""
    if turns == 1:
        return "The oldest turn no longer fits and was left out."
    return f"The oldest {turns} turns no longer fit and were left out."


def symbol(verdict: Verdict) -> str:
    """The symbol of a verdict's level."""
    return UNREAD_SYMBOL if verdict.severity is None else SYMBOLS[verdict.severity]
