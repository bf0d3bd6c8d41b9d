"""Conversations on disk: SQLite in the platform's data directory.

What a person typed is written and synced before anything else happens to it; a reply is appended
piece by piece while it streams, so that a crash loses at most the last fraction of a second. The
store knows nothing about models or screens, and keeps no connection across processes: several
programs may use the same file.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from oa_chat.conversation import Conversation, StopReason, Turn
from oa_chat.errors import StoreError
from oa_chat.policy import Action
from oa_chat.schema import SCHEMA, SCHEMA_VERSION, TURN_COLUMNS, turn_from_row
from oa_chat.verdict import Verdict

_BUSY_SECONDS = 5.0
_TITLE_LENGTH = 60
_ASIDE = "Move the file away, or choose another folder with --data-dir."


class Store:
    """The conversations of one data directory. Every method may raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open the store, and make it if there is none."""
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The data directory {path.parent} cannot be made: {error.strerror}.",
                "Choose another one with --data-dir or OA_CHAT_DATA_DIR.",
            ) from error
        with self._translated():
            self._make_private()
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._prepare()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self._transaction():
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by a newer version of oa-chat.",
                    "Update oa-chat, or choose another data directory with --data-dir.",
                )
            if version == 0:
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _make_private(self) -> None:
        """A new file is readable for its owner alone, whatever folder it lies in."""
        with contextlib.suppress(OSError):  # SQLite says it better
            self.path.touch(mode=0o600, exist_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ------------------------------------------------------------ conversations

    def new_conversation(self, system_prompt: str = "") -> Conversation:
        """A new, empty conversation."""
        now = _now()
        with self._translated():
            cursor = self._db.execute(
                "INSERT INTO conversation (system_prompt, created, updated) VALUES (?, ?, ?)",
                (system_prompt, now, now),
            )
        return Conversation(id=_row_id(cursor), title="", system_prompt=system_prompt)

    def last_conversation(self) -> Conversation | None:
        """The conversation that was used last, if it has any turns."""
        with self._translated():
            row = self._db.execute(
                "SELECT id FROM conversation WHERE id IN (SELECT conversation_id FROM turn)"
                " ORDER BY updated DESC, id DESC LIMIT 1"
            ).fetchone()
        return self.conversation(int(row[0])) if row else None

    def conversation(self, conversation_id: int) -> Conversation:
        """A conversation with all its turns. A turn that a crash cut off keeps what it had."""
        with self._translated():
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
        with self._translated():
            self._db.execute(
                "UPDATE conversation SET guard_off = ? WHERE id = ?", (int(off), conversation_id)
            )

    def typed_messages(self, limit: int) -> list[str]:
        """The newest messages that the user typed, in any conversation, oldest first."""
        with self._translated():
            rows = self._db.execute(
                "SELECT user FROM turn ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [row[0] for row in reversed(rows)]

    # ------------------------------------------------------------ turns

    def add_turn(self, conversation_id: int, typed: str) -> Turn:
        """Save what the user typed. When this returns, it is on disk."""
        now = _now()
        with self._synced(), self._transaction():
            cursor = self._db.execute(
                "INSERT INTO turn (conversation_id, user, stop_reason, created)"
                " VALUES (?, ?, ?, ?)",
                (conversation_id, typed, StopReason.PENDING.value, now),
            )
            self._db.execute(
                "UPDATE conversation SET updated = ?,"
                " title = CASE title WHEN '' THEN ? ELSE title END WHERE id = ?",
                (now, title_of(typed), conversation_id),
            )
        return Turn(id=_row_id(cursor), user=typed, created=now)

    def add_verdict(self, turn_id: int, verdict: Verdict) -> None:
        """Add a guard's verdict to a turn."""
        body = msgspec.json.encode(verdict).decode()
        severity = None if verdict.severity is None else int(verdict.severity)
        with self._translated():
            self._db.execute(
                "INSERT INTO verdict (turn_id, subject, severity, body) VALUES (?, ?, ?, ?)",
                (turn_id, verdict.subject, severity, body),
            )

    def set_sent(self, turn_id: int, sent: str, action: Action | None) -> None:
        """Note what goes to the model, right before it does."""
        with self._translated():
            self._db.execute(
                "UPDATE turn SET sent = ?, action = ? WHERE id = ?",
                (sent, action.value if action else None, turn_id),
            )

    def append_reply(self, turn_id: int, text: str) -> bool:
        """Add a piece of a reply that is still streaming. Costs the same at any length.

        False if another program holds the file just now: a reply must not wait for it.
        """
        with self._translated():
            self._db.execute("PRAGMA busy_timeout = 0")
            try:
                self._db.execute("INSERT INTO piece (turn_id, text) VALUES (?, ?)", (turn_id, text))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                return False
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")
        return True

    def finish_turn(self, turn: Turn) -> None:
        """Write a turn's final state and drop its streamed pieces."""
        timing = msgspec.json.encode(turn.timing).decode()
        action = turn.action.value if turn.action else None
        with self._transaction():
            self._db.execute(
                "UPDATE turn SET sent = ?, reply = ?, action = ?, stop_reason = ?, failure = ?,"
                " timing = ? WHERE id = ?",
                (
                    turn.sent,
                    turn.reply,
                    action,
                    turn.stop_reason.value,
                    turn.failure,
                    timing,
                    turn.id,
                ),
            )
            self._db.execute("DELETE FROM piece WHERE turn_id = ?", (turn.id,))

    def _turns(self, conversation_id: int) -> Iterator[Turn]:
        verdicts: dict[int, list[Verdict]] = {}
        rows = self._db.execute(
            "SELECT turn_id, body FROM verdict WHERE turn_id IN"
            " (SELECT id FROM turn WHERE conversation_id = ?) ORDER BY id",
            (conversation_id,),
        )
        for turn_id, body in rows:
            verdicts.setdefault(turn_id, []).append(msgspec.json.decode(body, type=Verdict))
        rows = self._db.execute(
            f"SELECT {TURN_COLUMNS} FROM turn WHERE conversation_id = ? ORDER BY id",  # noqa: S608
            (conversation_id,),
        )
        for row in rows.fetchall():
            turn = turn_from_row(row, tuple(verdicts.get(row[0], ())))
            yield turn if turn.stop_reason is not StopReason.PENDING else self._cut_off(turn)

    def _cut_off(self, turn: Turn) -> Turn:
        """A turn that never ended, with the part of its reply that reached the disk."""
        rows = self._db.execute("SELECT text FROM piece WHERE turn_id = ? ORDER BY id", (turn.id,))
        return replace(turn, reply="".join(row[0] for row in rows))

    # ------------------------------------------------------------ plumbing

    @contextmanager
    def _synced(self) -> Iterator[None]:
        """Commits in here reach the disk itself, so that not even a power cut undoes them.

        Others survive a crash of the program, as all of WAL does. A sync costs milliseconds that
        nobody should wait for between the verdict and the first token.
        """
        with self._translated():
            self._db.execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            with self._translated():
                self._db.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as StoreErrors: the one place where they are translated."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}.", _hint(str(error))) from error
        except (msgspec.MsgspecError, ValueError) as error:
            if isinstance(error, UnicodeEncodeError):
                raise StoreError(
                    "The message holds half a character (a lone surrogate) and cannot be saved.",
                    "Type or paste it again.",
                ) from error
            raise StoreError(f"{self.path} holds something unreadable: {error}.", _ASIDE) from error


def title_of(typed: str) -> str:
    """A conversation's title: the first line of its first message, shortened."""
    line = " ".join(typed[: _TITLE_LENGTH * 4].split())
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1].rstrip() + "…"


def _hint(reason: str) -> str:
    if "full" in reason:
        return "The disk is full: free some space, then send the message again."
    if "readonly" in reason or "unable to open" in reason:
        return "Make the file and its folder writable, or choose another with --data-dir."
    if "locked" in reason:
        return "Another program is using the file; try again in a moment."
    if "malformed" in reason or "not a database" in reason:
        return _ASIDE
    return "Choose another folder with --data-dir if this goes on."


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise StoreError("The database gave no row id.")
    return cursor.lastrowid


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
