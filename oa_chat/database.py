"""One SQLite file: how it is opened, brought up to date, changed and asked.

The one place where SQLite's errors become StoreErrors. It knows versions and transactions, and
nothing about what the rows mean.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from oa_chat.errors import StoreError
from oa_chat.schema import MIGRATIONS, SCHEMA_VERSION

BUSY_SECONDS = 5.0
"""How long a change waits for another program that holds the file."""
_ASIDE = "Move the file away, or choose another folder with --data-dir."


class Database:
    """An open file. Every method may raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it if there is none."""
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The data directory {path.parent} cannot be made: {error.strerror}.",
                "Choose another one with --data-dir or OA_CHAT_DATA_DIR.",
            ) from error
        with self.translated():
            self._make_private()
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._prepare()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self.transaction():  # whole or not at all, and by one program alone
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by a newer version of oa-chat.",
                    "Update oa-chat, or choose another data directory with --data-dir.",
                )
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    self._db.execute(statement)
            if version < SCHEMA_VERSION:
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _make_private(self) -> None:
        """A new file is readable for its owner alone, whatever folder it lies in."""
        with contextlib.suppress(OSError):  # SQLite says it better
            self.path.touch(mode=0o600, exist_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.translated():
            return self._db.execute(statement, values).fetchall()

    def change(self, statement: str, *values: object) -> int:
        """Run one statement; how many rows it changed."""
        with self.translated():
            return self._db.execute(statement, values).rowcount

    def insert(self, statement: str, *values: object) -> int:
        """Run one INSERT; the id of the new row."""
        with self.translated():
            return row_id(self._db.execute(statement, values))

    @contextmanager
    def synced(self) -> Iterator[None]:
        """Commits in here reach the disk itself, so that not even a power cut undoes them.

        Others survive a crash of the program, as all of WAL does. A sync costs milliseconds that
        nobody should wait for between the verdict and the first token.
        """
        with self.translated():
            self._db.execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            with self.translated():
                self._db.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes that come all together, or not at all."""
        with self.translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def translated(self) -> Iterator[None]:
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


def row_id(cursor: sqlite3.Cursor) -> int:
    """The id of the row that was just made."""
    if cursor.lastrowid is None:
        raise StoreError("The database gave no row id.")
    return cursor.lastrowid


def _hint(reason: str) -> str:
    if "full" in reason:
        return "The disk is full: free some space, then send the message again."
    if "readonly" in reason or "unable to open" in reason:
        return "Make the file and its folder writable, or choose another with --data-dir."
    if "locked" in reason:
        return "Another program is using the file; try again in a moment."
    if "malformed" in reason or "not a database" in reason:
        return _ASIDE
    if "fts5" in reason:
        return "This Python's SQLite has no full-text search (FTS5); use another build of Python."
    return "Choose another folder with --data-dir if this goes on."
