"""What a person said about flags: "this should have been casual", kept beside the message.

A correction changes no verdict and no policy. It is shown with its message, can be taken back, and
is exported as records that `oa-chat prepare` and `oa-chat train` read (docs/feedback.md). It lies
in the store, so it goes with its conversation when that is deleted. Nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from oa_chat import language
from oa_chat.conversation import Conversation
from oa_chat.errors import StoreError, UsageError
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict

SOURCE = "own-corrections"
LICENCE = "own"
"""What a person typed belongs to nobody else; these records are not for sharing as they are."""
LONGEST_NOTE = 1000
_LONGEST_TEXT = 2_000_000
"""Characters, as for a guard."""
_CONTEXT = 6
"""Earlier messages that go along in a record, as many as a guard gets."""
_BIGGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said about one message."""

    id: int
    severity: Severity
    """The level that would have been right."""
    note: str
    created: str
    """ISO 8601, UTC."""
    text: str
    """The message."""
    verdict: Verdict | None
    """What the guard had said; None if it had not judged the message."""
    turn_id: int = 0
    """0 for a text that is in no conversation."""
    conversation_id: int = 0
    number: int = 0
    """Of the turn in its conversation, from 1."""

    @property
    def place(self) -> str:
        """The message's name, such as ``12:3``; empty for a text of its own."""
        return f"{self.conversation_id}:{self.number}" if self.turn_id else ""


_COLUMNS = """
SELECT c.id, c.severity, c.note, c.created, coalesce(t.user, c.text), c.said,
    coalesce(t.id, 0), coalesce(t.conversation_id, 0),
    (SELECT count(*) FROM turn WHERE conversation_id = t.conversation_id AND id <= t.id)
FROM correction AS c LEFT JOIN turn AS t ON t.id = c.turn_id
LEFT JOIN conversation AS v ON v.id = t.conversation_id
WHERE v.deleted IS NULL
"""


class Corrections:
    """The corrections in a store. Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        """Look into an open store."""
        self._store = store

    # ------------------------------------------------------------ reading

    def all(self) -> list[Correction]:
        """All of them, oldest first; those of deleted conversations are left out."""
        return self._read(f"{_COLUMNS} ORDER BY c.id")

    def of_conversation(self, conversation_id: int) -> dict[int, Correction]:
        """Those of a conversation, by the turn's id."""
        found = self._read(f"{_COLUMNS} AND t.conversation_id = ? ORDER BY c.id", conversation_id)
        return {correction.turn_id: correction for correction in found}

    def _read(self, statement: str, *values: object) -> list[Correction]:
        rows = self._store.rows(statement, *values)
        with self._store.translated():
            return [_correction(row) for row in rows]

    def turn_at(self, place: str) -> int:
        """The id of the turn at ``CONVERSATION:TURN``, or ``last``. Raises UsageError."""
        hint = "Write it like 12:3 (conversation 12, turn 3); `oa-chat history list` has numbers."
        if place == "last":
            rows = self._store.rows(
                "SELECT t.id FROM turn AS t JOIN conversation AS c ON c.id = t.conversation_id"
                " WHERE c.deleted IS NULL ORDER BY t.id DESC LIMIT 1"
            )
            if not rows:
                raise UsageError("There is no message yet.")
            return int(rows[0][0])
        conversation, _, number = place.partition(":")
        if not all(part.isascii() and part.isdigit() for part in (conversation, number)):
            raise UsageError(f"{place[:40]!r} is no message.", hint)
        wanted, turn = min(int(conversation[:20]), _BIGGEST_ID), min(int(number[:20]), _BIGGEST_ID)
        rows = self._store.rows(
            "SELECT t.id FROM turn AS t JOIN conversation AS c ON c.id = t.conversation_id"
            " WHERE c.deleted IS NULL AND c.id = ? ORDER BY t.id LIMIT 1 OFFSET ?",
            wanted,
            max(0, turn - 1),
        )
        if not rows or turn < 1:
            raise UsageError(f"There is no turn {turn} in a conversation {wanted}.", hint)
        return int(rows[0][0])

    # ------------------------------------------------------------ changing

    def add(self, turn_id: int, severity: Severity, note: str = "") -> int:
        """Say what would have been right about a message, in place of what was said before."""
        judged = self._store.rows(
            "SELECT body FROM verdict WHERE turn_id = ? AND subject = 'message'"
            " ORDER BY id DESC LIMIT 1",
            turn_id,
        )
        said = str(judged[0][0]) if judged else ""
        note = _checked_note(note)
        with self._store.synced(), self._store.transaction():
            self._store.change("DELETE FROM correction WHERE turn_id = ?", turn_id)
            return self._store.insert(
                "INSERT INTO correction (turn_id, severity, note, said, created)"
                " VALUES (?, ?, ?, ?, ?)",
                *(turn_id, int(severity), note, said, _now()),
            )

    def add_text(
        self, text: str, severity: Severity, note: str = "", verdict: Verdict | None = None
    ) -> int:
        """Say it about a text that is in no conversation."""
        if not text.strip() or len(text) > _LONGEST_TEXT:
            raise UsageError(f"The text must have 1 to {_LONGEST_TEXT:,} characters.")
        said = msgspec.json.encode(verdict).decode() if verdict else ""
        note = _checked_note(note)
        with self._store.synced():
            return self._store.insert(
                "INSERT INTO correction (text, severity, note, said, created)"
                " VALUES (?, ?, ?, ?, ?)",
                *(text, int(severity), note, said, _now()),
            )

    def remove(self, correction_id: int) -> None:
        """Take a correction back. Raises StoreError if there is none."""
        if not self._store.change(
            "DELETE FROM correction WHERE id = ?", min(correction_id, _BIGGEST_ID)
        ):
            hint = "`oa-chat feedback list` shows the numbers."
            raise StoreError(f"There is no correction {correction_id}.", hint)

    def take_back(self, turn_id: int) -> None:
        """Take back what was said about a message, if anything was."""
        self._store.change("DELETE FROM correction WHERE turn_id = ?", turn_id)

    # ------------------------------------------------------------ handing on

    def records(self) -> Iterator[dict[str, Any]]:
        """Each correction as a record of the guard's data (docs/pipeline.md, "Records")."""
        conversations: dict[int, Conversation] = {}
        for correction in self.all():
            home = correction.conversation_id
            if home and home not in conversations:
                conversations = {home: self._store.conversation(home)}
            yield _record(correction, conversations.get(home))


def level_named(word: str) -> Severity | None:
    """A level by its name ("needs-caution"), label or number (0 to 4), however it is written."""
    plain = word.strip().strip("_").casefold().replace("_", " ").replace("-", " ")
    names = {name: level for level in Severity for name in (level.words, str(int(level)))}
    return names.get(plain)


def _correction(row: tuple[Any, ...]) -> Correction:
    number, severity, note, created, text, said, turn_id, conversation_id, place = row
    verdict = msgspec.json.decode(said, type=Verdict) if said else None
    return Correction(
        id=number,
        severity=Severity(severity),
        note=note,
        created=created,
        text=text,
        verdict=verdict,
        turn_id=turn_id,
        conversation_id=conversation_id,
        number=place if turn_id else 0,
    )


def _record(correction: Correction, conversation: Conversation | None) -> dict[str, Any]:
    context: list[dict[str, str]] = []
    if conversation is not None:
        earlier = tuple(turn for turn in conversation.turns if turn.id < correction.turn_id)
        before = Conversation(conversation.id, "", "", earlier).messages_typed()[-_CONTEXT:]
        context = [{"role": message.role, "content": message.text} for message in before]
    verdict = correction.verdict
    thread = f"conversation-{correction.conversation_id}" if conversation else "text"
    return {
        "text": correction.text,
        "context": context,
        "labels": [correction.severity.label],
        "id": f"{SOURCE}-{correction.id}",
        "thread": f"{SOURCE}-{thread}" + ("" if conversation else f"-{correction.id}"),
        "source": SOURCE,
        "licence": LICENCE,
        "lang": language.detect(correction.text) or "und",
        "kind": "correction",
        "note": correction.note,
        "guard": verdict.guard if verdict else "",
        "guard_label": verdict.severity.label if verdict and verdict.severity is not None else "",
    }


def _checked_note(note: str) -> str:
    if len(note) > LONGEST_NOTE:
        raise UsageError(f"The note is longer than {LONGEST_NOTE:,} characters.")
    return note.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
