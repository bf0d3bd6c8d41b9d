"""The tables of the store, and how a row becomes a turn. No connection in here."""

from __future__ import annotations

import msgspec

from oa_chat.conversation import StopReason, Timing, Turn, WithdrawnReply
from oa_chat.policy import Action
from oa_chat.verdict import Verdict

_FIRST = """
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

_SECOND = (
    "ALTER TABLE conversation ADD COLUMN deleted TEXT",
    "ALTER TABLE conversation ADD COLUMN imported TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE turn ADD COLUMN model TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX conversation_deleted ON conversation (deleted) WHERE deleted IS NOT NULL",
    # Only the index is stored: the text is read from `turn`. The prefixes keep a search quick
    # while somebody types: without them one letter reads every word (benchmarks/history_search).
    """CREATE VIRTUAL TABLE said USING fts5 (
        user, reply, content = 'turn', content_rowid = 'id',
        tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
    )""",
    """CREATE TRIGGER turn_said AFTER INSERT ON turn BEGIN
        INSERT INTO said (rowid, user, reply) VALUES (new.id, new.user, new.reply);
    END""",
    """CREATE TRIGGER turn_unsaid AFTER DELETE ON turn BEGIN
        INSERT INTO said (said, rowid, user, reply)
        VALUES ('delete', old.id, old.user, old.reply);
    END""",
    """CREATE TRIGGER turn_said_anew AFTER UPDATE OF user, reply ON turn BEGIN
        INSERT INTO said (said, rowid, user, reply)
        VALUES ('delete', old.id, old.user, old.reply);
        INSERT INTO said (rowid, user, reply) VALUES (new.id, new.user, new.reply);
    END""",
    "INSERT INTO said (said) VALUES ('rebuild')",
)
"""Adds deleting with undo, what was imported, the model of a turn, and the full-text search."""

_THIRD = (
    """CREATE TABLE withdrawn (
        id INTEGER PRIMARY KEY,
        turn_id INTEGER NOT NULL REFERENCES turn (id) ON DELETE CASCADE,
        body TEXT NOT NULL
    )""",
    "CREATE INDEX withdrawn_by_turn ON withdrawn (turn_id, id)",
)
"""Adds replies that were shown and taken back (`conversation.WithdrawnReply`, as JSON)."""

_FOURTH = (
    """CREATE TABLE correction (
        id INTEGER PRIMARY KEY,
        turn_id INTEGER UNIQUE REFERENCES turn (id) ON DELETE CASCADE,
        text TEXT NOT NULL DEFAULT '',
        severity INTEGER NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        said TEXT NOT NULL DEFAULT '',
        created TEXT NOT NULL
    )""",
)
"""Adds what a person says about flags, of a turn or of a text of its own; `said` is the verdict."""

_FIFTH = ("ALTER TABLE turn ADD COLUMN reason TEXT NOT NULL DEFAULT ''",)
"""Adds what decided about a message."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    tuple(_FIRST.strip().split(";")),
    _SECOND,
    _THIRD,
    _FOURTH,
    _FIFTH,
)
"""The statements that lead from version 0 (an empty file) to 1, from 1 to 2, and so on."""

SCHEMA_VERSION = len(MIGRATIONS)
"""In the file's `user_version`. A store with a higher one is left alone."""

TURN_COLUMNS = "id, user, sent, reply, action, stop_reason, failure, timing, created, model, reason"
"""What `turn_from_row` takes, in this order."""


def turn_from_row(
    row: tuple[object, ...],
    verdicts: tuple[Verdict, ...],
    withdrawn: tuple[WithdrawnReply, ...] = (),
) -> Turn:
    """A turn from `TURN_COLUMNS`. Raises ValueError or msgspec's errors for what is no turn."""
    turn_id, user, sent, reply, action, ending, failure, timing, created, model, reason = row
    return Turn(
        id=int(str(turn_id)),
        user=str(user),
        sent=None if sent is None else str(sent),
        reply=str(reply),
        verdicts=verdicts,
        action=Action(str(action)) if action else None,
        stop_reason=StopReason(str(ending)),
        failure=str(failure),
        timing=msgspec.json.decode(str(timing), type=Timing),
        created=str(created),
        model=str(model),
        reason=str(reason),
        withdrawn=withdrawn,
    )
