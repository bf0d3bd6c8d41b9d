"""Conversations on disk: SQLite in the platform's data directory.

What a person typed is written and synced before anything else happens to it; a reply is appended
piece by piece while it streams, so that a crash loses at most the last fraction of a second. The
store knows nothing about models or screens, and keeps no connection across processes: several
programs may use the same file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from oa_chat.conversation import Conversation, StopReason, Turn, WithdrawnReply
from oa_chat.database import BUSY_SECONDS, Database, row_id
from oa_chat.errors import StoreError
from oa_chat.policy import Action
from oa_chat.schema import TURN_COLUMNS, turn_from_row
from oa_chat.verdict import Verdict

KEPT_DAYS = 30
"""How long a deleted conversation can be had back."""
_TITLE_LENGTH = 60


class Store(Database):
    """The conversations of one data directory. Every method may raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open the store, and make it if there is none."""
        super().__init__(path)
        self._purge()

    def _purge(self) -> None:
        """Conversations that were deleted long ago go for good. Costs one look at an index."""
        before = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat()
        if self.rows("SELECT 1 FROM conversation WHERE deleted < ? LIMIT 1", before):
            with self.transaction():
                self._db.execute("PRAGMA secure_delete = ON")
                self._db.execute("DELETE FROM conversation WHERE deleted < ?", (before,))

    # ------------------------------------------------------------ conversations

    def new_conversation(self, system_prompt: str = "") -> Conversation:
        """A new, empty conversation."""
        now = _now()
        with self.translated():
            cursor = self._db.execute(
                "INSERT INTO conversation (system_prompt, created, updated) VALUES (?, ?, ?)",
                (system_prompt, now, now),
            )
        return Conversation(id=row_id(cursor), title="", system_prompt=system_prompt)

    def last_conversation(self) -> Conversation | None:
        """The conversation that was used last, if it has any turns."""
        with self.translated():
            row = self._db.execute(
                "SELECT id FROM conversation WHERE deleted IS NULL"
                " AND id IN (SELECT conversation_id FROM turn)"
                " ORDER BY updated DESC, id DESC LIMIT 1"
            ).fetchone()
        return self.conversation(int(row[0])) if row else None

    def conversation(self, conversation_id: int) -> Conversation:
        """A conversation with all its turns. A turn that a crash cut off keeps what it had."""
        with self.translated():
            head = self._db.execute(
                "SELECT title, system_prompt, guard_off FROM conversation WHERE id = ?",
                (conversation_id,),
            ).fetchone()
            if head is None:
                raise StoreError(f"There is no conversation {conversation_id}.")
            turns = tuple(self._turns(conversation_id))
        return Conversation(conversation_id, head[0], head[1], turns, bool(head[2]))

    def switch_guard(self, conversation_id: int, off: bool) -> None:
        """Note that the guard is off (or on again) for a conversation."""
        with self.translated():
            self._db.execute(
                "UPDATE conversation SET guard_off = ? WHERE id = ?", (int(off), conversation_id)
            )

    def typed_messages(self, limit: int) -> list[str]:
        """The newest messages that the user typed, in any conversation, oldest first."""
        with self.translated():
            rows = self._db.execute(
                "SELECT user FROM turn WHERE conversation_id NOT IN"
                " (SELECT id FROM conversation WHERE deleted IS NOT NULL)"
                " ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [row[0] for row in reversed(rows)]

    # ------------------------------------------------------------ turns

    def add_turn(self, conversation_id: int, typed: str, model: str = "") -> Turn:
        """Save what the user typed. When this returns, it is on disk.

        Whoever goes on with a conversation that was deleted meanwhile has it back.
        """
        now = _now()
        with self.synced(), self.transaction():
            cursor = self._db.execute(
                "INSERT INTO turn (conversation_id, user, stop_reason, created, model)"
                " VALUES (?, ?, ?, ?, ?)",
                (conversation_id, typed, StopReason.PENDING.value, now, model),
            )
            self._db.execute(
                "UPDATE conversation SET updated = ?, deleted = NULL,"
                " title = CASE title WHEN '' THEN ? ELSE title END WHERE id = ?",
                (now, title_of(typed), conversation_id),
            )
        return Turn(id=row_id(cursor), user=typed, created=now, model=model)

    def add_verdict(self, turn_id: int, verdict: Verdict) -> None:
        """Add a guard's verdict to a turn."""
        body = msgspec.json.encode(verdict).decode()
        severity = None if verdict.severity is None else int(verdict.severity)
        with self.translated():
            self._db.execute(
                "INSERT INTO verdict (turn_id, subject, severity, body) VALUES (?, ?, ?, ?)",
                (turn_id, verdict.subject, severity, body),
            )

    def set_sent(self, turn_id: int, sent: str, action: Action | None) -> None:
        """Note what goes to the model, right before it does."""
        with self.translated():
            self._db.execute(
                "UPDATE turn SET sent = ?, action = ? WHERE id = ?",
                (sent, action.value if action else None, turn_id),
            )

    def append_reply(self, turn_id: int, text: str) -> bool:
        """Add a piece of a reply that is still streaming. Costs the same at any length.

        False if another program holds the file just now: a reply must not wait for it.
        """
        with self.translated():
            self._db.execute("PRAGMA busy_timeout = 0")
            try:
                self._db.execute("INSERT INTO piece (turn_id, text) VALUES (?, ?)", (turn_id, text))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                return False
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        return True

    def finish_turn(self, turn: Turn) -> None:
        """Write a turn's final state with the verdicts on its reply; drop its streamed pieces."""
        timing = msgspec.json.encode(turn.timing).decode()
        action = turn.action.value if turn.action else None
        with self.transaction():
            self._db.execute(
                "UPDATE turn SET sent = ?, reply = ?, action = ?, reason = ?, stop_reason = ?,"
                " failure = ?, timing = ? WHERE id = ?",
                (
                    turn.sent,
                    turn.reply,
                    action,
                    turn.reason,
                    turn.stop_reason.value,
                    turn.failure,
                    timing,
                    turn.id,
                ),
            )
            self._db.execute("DELETE FROM piece WHERE turn_id = ?", (turn.id,))
            self._db.execute(
                "DELETE FROM verdict WHERE turn_id = ? AND subject = 'reply'", (turn.id,)
            )
            for verdict in turn.verdicts:
                if verdict.subject == "reply":
                    self.add_verdict(turn.id, verdict)

    def withdraw_reply(self, turn_id: int, withdrawn: WithdrawnReply) -> None:
        """Keep a try at a reply aside; the turn has no reply from now on."""
        with self.transaction():
            self._db.execute("DELETE FROM piece WHERE turn_id = ?", (turn_id,))
            self.add_withdrawn(turn_id, withdrawn)

    def add_withdrawn(self, turn_id: int, withdrawn: WithdrawnReply) -> None:
        """Add a try at a reply that was withdrawn."""
        body = msgspec.json.encode(withdrawn).decode()
        self.insert("INSERT INTO withdrawn (turn_id, body) VALUES (?, ?)", turn_id, body)

    def _turns(self, conversation_id: int) -> Iterator[Turn]:
        verdicts: dict[int, list[Verdict]] = {}
        rows = self._db.execute(
            "SELECT turn_id, body FROM verdict WHERE turn_id IN"
            " (SELECT id FROM turn WHERE conversation_id = ?) ORDER BY id",
            (conversation_id,),
        )
        for turn_id, body in rows:
            verdicts.setdefault(turn_id, []).append(msgspec.json.decode(body, type=Verdict))
        withdrawn: dict[int, list[WithdrawnReply]] = {}
        rows = self._db.execute(
            "SELECT turn_id, body FROM withdrawn WHERE turn_id IN"
            " (SELECT id FROM turn WHERE conversation_id = ?) ORDER BY id",
            (conversation_id,),
        )
        for turn_id, body in rows:
            kept = msgspec.json.decode(body, type=WithdrawnReply)
            withdrawn.setdefault(turn_id, []).append(kept)
        rows = self._db.execute(
            f"SELECT {TURN_COLUMNS} FROM turn WHERE conversation_id = ? ORDER BY id",  # noqa: S608
            (conversation_id,),
        )
        for row in rows.fetchall():
            tries = tuple(withdrawn.get(row[0], ()))
            turn = turn_from_row(row, tuple(verdicts.get(row[0], ())), tries)
            yield turn if turn.stop_reason is not StopReason.PENDING else self._cut_off(turn)

    def _cut_off(self, turn: Turn) -> Turn:
        """A turn that never ended, with the part of its reply that reached the disk."""
        rows = self._db.execute("SELECT text FROM piece WHERE turn_id = ? ORDER BY id", (turn.id,))
        return replace(turn, reply="".join(row[0] for row in rows))


def title_of(typed: str) -> str:
    """A conversation's title: the first line of its first message, shortened."""
    line = " ".join(typed[: _TITLE_LENGTH * 4].split())
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1].rstrip() + "…"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
