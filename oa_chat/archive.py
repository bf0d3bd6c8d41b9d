"""Conversations outside the store: our JSON file, and what makes two conversations the same.

The file is described in `docs/history.md`. What is read here was written by anybody: types, sizes
and dates are checked, and nothing in it is obeyed. This module opens no files.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import msgspec

from oa_chat.conversation import Conversation, Turn
from oa_chat.errors import UsageError
from oa_chat.verdict import LABELS, Verdict

FORMAT: Literal["oa-chat conversations"] = "oa-chat conversations"
VERSION = 2
"""2 adds `Turn.withdrawn`, `Turn.reason` and the endings "flagged" and "unjudged"."""
LONGEST_TEXT = 10_000_000
"""Characters in one message; more is no conversation."""
MOST_TURNS = 100_000
"""Turns in one conversation."""

MOST_STAGES = 8
"""Guards that were asked about one text."""


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    format: Literal["oa-chat conversations"] = FORMAT
    version: int = VERSION
    conversations: tuple[Conversation, ...]


def fingerprint(turns: tuple[tuple[str, str], ...]) -> str:
    """SHA-256 over what was said, by (user, reply) of every turn. Titles and dates do not count."""
    return hashlib.sha256(msgspec.json.encode(turns)).hexdigest()


def fingerprint_of(conversation: Conversation) -> str:
    """The fingerprint of a whole conversation."""
    return fingerprint(tuple((turn.user, turn.reply) for turn in conversation.turns))


def checked(conversation: Conversation, place: str) -> Conversation:
    """A conversation from outside with dates in UTC and the guard on, whatever the file says.

    `place` says where it stands, such as ``notes.json: $.conversations[3]``. Raises UsageError for
    what is not sane.
    """
    if not conversation.turns:
        raise UsageError(f"{place}: the conversation has no turns.")
    if len(conversation.turns) > MOST_TURNS:
        raise UsageError(f"{place}: more than {MOST_TURNS:,} turns.")
    if max(len(conversation.title), len(conversation.system_prompt)) > LONGEST_TEXT:
        raise UsageError(f"{place}: the title or the system prompt is too long.")
    turns = tuple(
        _checked_turn(turn, f"{place}.turns[{number}]")
        for number, turn in enumerate(conversation.turns)
    )
    return replace(conversation, turns=turns, guard_off=False)


def _checked_turn(turn: Turn, place: str) -> Turn:
    kept_aside = [text for kept in turn.withdrawn for text in (kept.text, kept.sent)]
    texts = (turn.user, turn.reply, turn.sent or "", turn.failure, turn.reason, *kept_aside)
    if any(len(text) > LONGEST_TEXT for text in texts):
        raise UsageError(f"{place}: longer than {LONGEST_TEXT:,} characters.")
    _check_verdicts(turn.verdicts, place)
    for number, kept in enumerate(turn.withdrawn):
        _check_verdicts(kept.verdicts, f"{place}.withdrawn[{number}]")
    return replace(turn, created=_in_utc(turn.created, place))


def _check_verdicts(verdicts: tuple[Verdict, ...], place: str) -> None:
    for number, verdict in enumerate(verdicts):
        if len(verdict.stages) > MOST_STAGES:
            where = f"{place}.verdicts[{number}].stages"
            raise UsageError(f"{where}: more than {MOST_STAGES} guards for one text.")
        shares = verdict.probabilities
        if shares is not None and len(shares) != len(LABELS):
            where = f"{place}.verdicts[{number}].probabilities"
            raise UsageError(f"{where}: {len(shares)} numbers in place of {len(LABELS)}.")


def _in_utc(created: str, place: str) -> str:
    """An ISO 8601 date as the store writes it; a missing one stays missing."""
    if not created:
        return ""
    try:
        moment = datetime.fromisoformat(created)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{place}.created: {created[:40]!r} is no ISO 8601 date.") from error
