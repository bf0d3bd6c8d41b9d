"""The reading side of the store: what there is, what was said where, and what was thrown away.

For the shell and the screen alike. A search text is text: it reaches SQLite as quoted words, so
neither SQL nor the search language can be typed in. Nothing here prints.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal

import msgspec

from oa_chat.archive import fingerprint, fingerprint_of
from oa_chat.conversation import Conversation, StopReason, Turn
from oa_chat.database import BUSY_SECONDS
from oa_chat.errors import StoreError
from oa_chat.store import Store, title_of
from oa_chat.verdict import Severity

LAST = "last"
"""The name of the conversation that was used last."""
_MOST_WORDS = 32
"""Of a search text; more words than that find nothing more."""
_SNIPPET_WORDS = 16
_BIGGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in a list."""

    id: int
    title: str
    """Never empty, but text from others: make it printable."""
    created: str
    """ISO 8601, UTC, as all dates here."""
    updated: str
    messages: int
    """Of both sides."""
    flags: int
    """How many messages the guard flagged, unreadable verdicts among them."""
    worst: Severity | None
    """The most severe flag; None if there is none, or only unreadable verdicts."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a snippet."""

    text: str
    found: bool
    """Whether the search text matched here."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found."""

    conversation_id: int
    title: str
    turn_id: int
    number: int
    """Of the turn within its conversation, from 1."""
    role: Literal["user", "assistant"]
    created: str
    snippet: tuple[Piece, ...]


# The newest verdict on a message counts, as everywhere. The inner LIMIT comes first, so that only
# conversations that are shown are counted.
_SUMMARIES = """
SELECT c.id, c.title, c.created, c.updated,
    (SELECT count(*) + sum(reply <> '') FROM turn WHERE conversation_id = c.id),
    (SELECT count(*) FROM newest WHERE severity IS NULL OR severity > 0),
    (SELECT max(severity) FROM newest WHERE severity > 0),
    (SELECT substr(user, 1, 400) FROM turn WHERE conversation_id = c.id ORDER BY id LIMIT 1)
FROM (
    SELECT id, title, created, updated FROM conversation
    WHERE (deleted IS NOT NULL) = ?
    AND EXISTS (SELECT 1 FROM turn WHERE conversation_id = conversation.id)
    ORDER BY updated DESC, id DESC LIMIT ?
) AS c
"""
_NEWEST = """(
    SELECT v.severity AS severity FROM turn AS t JOIN verdict AS v ON v.id = (
        SELECT max(id) FROM verdict WHERE turn_id = t.id AND subject = 'message'
    ) WHERE t.conversation_id = c.id
)"""

# Newest first by row id is the order of the index itself: common words stop at the limit.
_SEARCH = """
SELECT t.conversation_id, c.title, t.id, t.created,
    (SELECT count(*) FROM turn WHERE conversation_id = t.conversation_id AND id <= t.id),
    snippet(said, 0, ?1, ?2, '…', ?3), snippet(said, 1, ?1, ?2, '…', ?3)
FROM said JOIN turn AS t ON t.id = said.rowid JOIN conversation AS c ON c.id = t.conversation_id
WHERE said MATCH ?4 AND c.deleted IS NULL
ORDER BY said.rowid DESC LIMIT ?5
"""


class History:
    """What a store holds. Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        """Look into an open store."""
        self._store = store

    # ------------------------------------------------------------ reading

    def summaries(self, limit: int = -1, *, deleted: bool = False) -> list[Summary]:
        """The conversations that were used last, newest first; -1 is all of them."""
        statement = _SUMMARIES.replace("newest", _NEWEST)
        found = []
        for row in self._store.rows(statement, int(deleted), limit):
            worst = None if row[6] is None else Severity(row[6])
            title = row[1] or title_of(row[7]) or "(no words)"
            found.append(Summary(row[0], title, row[2], row[3], row[4], row[5], worst))
        return found

    def find(self, name: str, *, deleted: bool = False) -> int:
        """The id of a conversation by its number or "last". Raises StoreError if there is none."""
        if name == LAST:
            newest = self.summaries(1, deleted=deleted)
            if not newest:
                raise StoreError("There is no conversation yet.")
            return newest[0].id
        hint = '`oa-chat history list` shows the numbers; "last" is the newest one.'
        if not (name.isascii() and name.isdigit()) or int(name[:20]) > _BIGGEST_ID:
            raise StoreError(f"There is no conversation {name[:40]!r}.", hint)
        rows = self._store.rows("SELECT deleted FROM conversation WHERE id = ?", int(name))
        if not rows:
            raise StoreError(f"There is no conversation {int(name)}.", hint)
        gone = rows[0][0] is not None
        if gone and not deleted:
            back = f"`oa-chat history restore {int(name)}` brings it back."
            raise StoreError(f"Conversation {int(name)} is deleted.", back)
        if deleted and not gone:
            raise StoreError(f"Conversation {int(name)} is not deleted.")
        return int(name)

    def title(self, conversation_id: int) -> str:
        """The title alone: it can be read where a conversation is damaged."""
        rows = self._store.rows("SELECT title FROM conversation WHERE id = ?", conversation_id)
        return str(rows[0][0]) if rows else ""

    def conversation(self, conversation_id: int) -> Conversation:
        """The whole conversation."""
        return self._store.conversation(conversation_id)

    def search(self, text: str, limit: int = 50) -> list[Hit]:
        """Messages that hold all words of a text, the last one as a beginning; newest first.

        Case and accents do not count. `limit` is in turns: one has up to two messages.
        """
        query = _query(text)
        if not query:
            return []
        # Nobody can have written a mark that is drawn afresh for each search.
        mark = secrets.token_hex(8)
        start, end = f"\x02{mark}", f"\x03{mark}"
        rows = self._store.rows(_SEARCH, start, end, _SNIPPET_WORDS, query, limit)
        hits = []
        roles: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
        for conversation_id, title, turn_id, created, number, *snippets in rows:
            for role, snippet in zip(roles, snippets, strict=True):
                if start in snippet:
                    pieces = _pieces(snippet, start, end)
                    head = (conversation_id, title, turn_id, number)
                    hits.append(Hit(*head, role, created, pieces))
        return hits

    # ------------------------------------------------------------ throwing away

    def delete(self, conversation_id: int) -> None:
        """Delete a conversation so that `restore` can bring it back for `KEPT_DAYS` days."""
        now = _now()
        self._store.change("UPDATE conversation SET deleted = ? WHERE id = ?", now, conversation_id)

    def restore(self, conversation_id: int) -> None:
        """Undo `delete`."""
        self._store.change("UPDATE conversation SET deleted = NULL WHERE id = ?", conversation_id)

    def delete_for_good(self, conversation_id: int) -> None:
        """Delete a conversation so that no byte of it stays in the file. Takes a while.

        The index is written anew, since FTS5 only notes what was deleted, and the file as well.
        """
        store = self._store
        store.change("PRAGMA secure_delete = ON")
        # Three steps with three short locks: a running chat gets its turn between them.
        store.change("DELETE FROM conversation WHERE id = ?", conversation_id)
        store.change("INSERT INTO said (said) VALUES ('rebuild')")
        store.change("VACUUM")
        self._empty_journal()

    def _empty_journal(self) -> None:
        """Move what the write-ahead log holds into the file, and cut the log to nothing.

        SQLite waits for readers, but not for another program's checkpoint (wal_checkpoint_v2).
        """
        until = time.monotonic() + BUSY_SECONDS
        while self._store.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            if time.monotonic() > until:
                raise StoreError(
                    "The conversation is deleted, but another program still reads the file.",
                    "Close it; the last traces go when a conversation is next deleted for good.",
                )
            time.sleep(0.02)

    # ------------------------------------------------------------ taking in

    def fingerprints(self) -> set[str]:
        """The fingerprints of all conversations, and of what was imported as it was then."""
        known = self._store.rows(
            "SELECT imported FROM conversation WHERE imported <> '' AND deleted IS NULL"
        )
        said = self._store.rows(
            "SELECT conversation_id, user, reply || coalesce((SELECT group_concat(text, '') FROM"
            " (SELECT text FROM piece WHERE turn_id = turn.id ORDER BY id)), '')"
            " FROM turn WHERE conversation_id NOT IN"
            " (SELECT id FROM conversation WHERE deleted IS NOT NULL)"
            " ORDER BY conversation_id, id"
        )
        own = groupby(said, key=lambda row: row[0])
        computed = {fingerprint(tuple((row[1], row[2]) for row in rows)) for _, rows in own}
        return computed | {row[0] for row in known}

    def add(self, conversation: Conversation) -> int:
        """Store a conversation from elsewhere, whole or not at all; its new id."""
        now = _now()
        dates = [turn.created for turn in conversation.turns if turn.created] or [now]
        first = conversation.turns[0].user if conversation.turns else ""
        title = title_of(conversation.title) or title_of(first)
        with self._store.transaction():
            new = self._store.insert(
                "INSERT INTO conversation (title, system_prompt, guard_off, created, updated,"
                " imported) VALUES (?, ?, ?, ?, ?, ?)",
                title,
                conversation.system_prompt,
                int(conversation.guard_off),
                min(dates),
                max(dates),
                fingerprint_of(conversation),
            )
            for turn in conversation.turns:
                self._add_turn(new, turn, min(dates))
        return new

    def _add_turn(self, conversation_id: int, turn: Turn, date: str) -> None:
        # A turn that a crash cut off has its reply in pieces, and here it is whole.
        cut_off = turn.stop_reason is StopReason.PENDING and turn.reply
        ending = StopReason.STOPPED if cut_off else turn.stop_reason
        turn_id = self._store.insert(
            "INSERT INTO turn (conversation_id, user, sent, reply, action, stop_reason, failure,"
            " timing, created, model, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            conversation_id,
            turn.user,
            turn.sent,
            turn.reply,
            turn.action.value if turn.action else None,
            ending.value,
            turn.failure,
            msgspec.json.encode(turn.timing).decode(),
            turn.created or date,
            turn.model,
            turn.reason,
        )
        for verdict in turn.verdicts:
            self._store.add_verdict(turn_id, verdict)
        for withdrawn in turn.withdrawn:
            self._store.add_withdrawn(turn_id, withdrawn)


def _query(text: str) -> str:
    """A text as an FTS5 query: every word in quotes, the last one as a prefix."""
    # SQLite ends the query at a NUL and takes no half characters.
    clean = text.replace("\0", " ").encode("utf-8", "replace").decode()
    words = ['"' + word.replace('"', '""') + '"' for word in clean.split()[:_MOST_WORDS]]
    return " ".join(words) + " *" if words else ""


def _pieces(snippet: str, start: str, end: str) -> tuple[Piece, ...]:
    before, *marked = snippet.split(start)
    pieces = [Piece(before, found=False)]
    for part in marked:
        found, _, after = part.partition(end)
        pieces += [Piece(found, found=True), Piece(after, found=False)]
    return tuple(piece for piece in pieces if piece.text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
