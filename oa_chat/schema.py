"""The tables of the store, and how a row becomes a turn. No connection in here."""

from __future__ import annotations

import msgspec

from oa_chat.conversation import StopReason, Timing, Turn
from oa_chat.policy import Action
from oa_chat.verdict import Verdict

SCHEMA_VERSION = 1
"""In the file's `user_version`. A store with a higher one is left alone."""

SCHEMA = """
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL DEFAULT '',
    system_prompt TEXT NOT NULL DEFAULT '',
    guard_off INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    updated TEXT NOT NULL
);
CREATE TABLE turn (
    id INTEGER PRIMARY KEY,
    conversation_id INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
    user TEXT NOT NULL,
    sent TEXT,
    reply TEXT NOT NULL DEFAULT '',
    action TEXT,
    stop_reason TEXT NOT NULL,
    failure TEXT NOT NULL DEFAULT '',
    timing TEXT NOT NULL DEFAULT '{}',
    created TEXT NOT NULL
);
CREATE INDEX turn_by_conversation ON turn (conversation_id, id);
CREATE TABLE verdict (
    id INTEGER PRIMARY KEY,
    turn_id INTEGER NOT NULL REFERENCES turn (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    severity INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX verdict_by_turn ON verdict (turn_id, id);
CREATE TABLE piece (
    id INTEGER PRIMARY KEY,
    turn_id INTEGER NOT NULL REFERENCES turn (id) ON DELETE CASCADE,
    text TEXT NOT NULL
);
CREATE INDEX piece_by_turn ON piece (turn_id, id);
"""

TURN_COLUMNS = "id, user, sent, reply, action, stop_reason, failure, timing, created"
"""What `turn_from_row` takes, in this order."""


def turn_from_row(row: tuple[object, ...], verdicts: tuple[Verdict, ...]) -> Turn:
    """A turn from `TURN_COLUMNS`. Raises ValueError or msgspec's errors for what is no turn."""
    turn_id, user, sent, reply, action, stop_reason, failure, timing, created = row
    return Turn(
        id=int(str(turn_id)),
        user=str(user),
        sent=None if sent is None else str(sent),
        reply=str(reply),
        verdicts=verdicts,
        action=Action(str(action)) if action else None,
        stop_reason=StopReason(str(stop_reason)),
        failure=str(failure),
        timing=msgspec.json.decode(str(timing), type=Timing),
        created=str(created),
    )
