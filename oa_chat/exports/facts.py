"""What an export says about a conversation beside its text: dates, names, flags in words.

Everything that comes out of here is one printable line; escaping for a format is the format's.
"""

from __future__ import annotations

from dataclasses import dataclass

from oa_chat.conversation import Conversation, StopReason, Turn, WithdrawnReply
from oa_chat.printable import printable
from oa_chat.verdict import Verdict
from oa_chat.wording import ACTIONS, SOURCES, certainty_words, stage_lines, symbol

ENDINGS = {
    StopReason.LENGTH: "the reply reached its limit",
    StopReason.STOPPED: "the reply was stopped",
    StopReason.WITHDRAWN: "not sent: taken back",
    StopReason.BLOCKED: "not sent: the policy blocked it",
    StopReason.FAILED: "failed",
    StopReason.FLAGGED: "the guard flagged the reply twice, so it was withdrawn",
    StopReason.UNJUDGED: "the reply ends where the guard gave no verdict",
    StopReason.PENDING: "cut off here",
}
"""How a turn ended, where that is worth a word."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The head of an export."""

    title: str
    date: str
    """Of the first message, ISO 8601."""
    model: str
    """The chat models, or an empty string where nobody noted them."""
    guard: str
    """The guards, likewise."""
    messages: int


def facts_of(conversation: Conversation) -> Facts:
    """The head of a conversation."""
    turns = conversation.turns
    verdicts = [verdict for turn in turns for verdict in turn.verdicts]
    guards = [
        name
        for verdict in verdicts
        for name in [stage.guard for stage in verdict.stages if stage.asked] or [verdict.guard]
    ]
    return Facts(
        title=one_line(conversation.title) or "Conversation",
        date=one_line(turns[0].created) if turns else "",
        model=_names([turn.model for turn in turns]),
        guard=_names(guards),
        messages=sum(1 + bool(turn.reply) for turn in turns),
    )


def flag_lines(turn: Turn) -> list[str]:
    """What the guard said about a message and what was done, if it raised a flag.

    Where there were two guards, what each said stands there in any case.
    """
    lines: list[str] = []
    verdict = turn.verdict
    if verdict is not None and verdict.flagged:
        lines.append(f"Flag: {_flag(verdict)}")
        if verdict.rule:
            source = SOURCES[verdict.rule_source]
            lines.append(f"Rule: {one_line(verdict.rule)}" + (f" ({source})" if source else ""))
        if turn.action is not None:
            lines.append(f"Action: {ACTIONS[turn.action]}")
    if verdict is not None:
        lines += [f"Guard: {line}" for line in stage_lines(verdict)]
    if said := turn.reply_verdict:
        lines += _reply_lines(said) if said.flagged else []
    ending = ENDINGS.get(turn.stop_reason)
    if ending:
        why = f": {one_line(turn.failure)}" if turn.failure else ""
        lines.append(f"Note: {ending}{why}")
    return lines


def withdrawn_lines(withdrawn: WithdrawnReply) -> list[str]:
    """Why a try at a reply was withdrawn."""
    lines = [line for verdict in withdrawn.verdicts[-1:] for line in _reply_lines(verdict)]
    if withdrawn.unshown:
        lines.append(f"Note: {withdrawn.unshown:,} more characters were never shown")
    return lines


def _reply_lines(verdict: Verdict) -> list[str]:
    rule = [f"Rule: {one_line(verdict.rule)}"] if verdict.rule else []
    return [f"The reply: {_flag(verdict)}", *rule]


def short_date(date: str) -> str:
    """A stored date to the minute, in UTC, such as ``2026-01-31 09:30``."""
    return one_line(date)[:16].replace("T", " ")


def one_line(text: str) -> str:
    """Text from others as one printable line."""
    return " ".join(printable(text).split())


def _flag(verdict: Verdict) -> str:
    if verdict.severity is None:
        return f"{symbol(verdict)} no verdict: {one_line(verdict.failure)}"
    certainty = certainty_words(verdict)
    return f"{symbol(verdict)} {verdict.severity.words}" + (f" ({certainty})" if certainty else "")


def _names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(one_line(name) for name in names if name))
