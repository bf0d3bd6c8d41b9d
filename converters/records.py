"""The record of the guard's data: what `prepare` writes, `train` learns and `evaluate` measures.

The packs of the project, ProsocialDialog after `prepare`, and corrections exported from the chat
all have this form. A file of records is JSON Lines or Parquet with these columns (README of the
recipes: docs/pipeline.md). This module does not read whole datasets and does not choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import DataError
from converters.rows import read_rows
from oa_chat.conversation import Message
from oa_chat.verdict import LABELS, Severity

_COLUMNS = 'The message is in a column "text", its level in "label" or "labels".'


class TurnRow(msgspec.Struct, frozen=True):
    """One earlier turn."""

    role: str
    """"user" or "assistant"."""
    content: str


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it lies in a file. Every column but `text` may be missing; others are ignored."""

    text: str
    """The newest user message."""
    context: list[TurnRow] = []
    """Earlier turns, oldest first."""
    labels: list[str] = []
    """The levels that may be right: more than one is a partial label, none is unlabelled."""
    label: str = ""
    """One level, as the evaluation packs write it; read as `labels` with one entry."""
    unsafe: bool | None = None
    """Evaluation packs: whether the message should be flagged."""
    category: str = ""
    rule: str = ""
    """A rule of thumb, or empty."""
    rules: list[str] = []
    """Further rules."""
    id: str = ""
    thread: str = ""
    """Records of one conversation share it and stay in one split."""
    source: str = ""
    licence: str = ""
    lang: str = ""
    """ISO 639 code; "und" is undecided, empty was not looked at."""
    kind: str = ""
    weak: bool = False
    """Whether the label was inherited from a matching example instead of given by a person."""
    score: float | None = None
    """How well that example matched, 0 to 1."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """A checked record."""

    messages: tuple[Message, ...]
    """The conversation; the last message is the one to judge."""
    levels: frozenset[Severity]
    rules: tuple[str, ...]
    row: RecordRow

    @property
    def text(self) -> str:
        """The newest message."""
        return self.messages[-1].text


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file. Raises DataError naming file and line."""
    for number, row in read_rows(path):
        yield record_of(row, f"{path}, line {number}")


def record_of(row: dict[str, Any], place: str) -> Record:
    """A row as a checked record; `place` is for messages. Raises DataError."""
    present = {key: value for key, value in row.items() if value not in (None, "") or key == "text"}
    try:
        # Not strict: the cells of a CSV file are all text, "true" and "0.5" among them.
        read = msgspec.convert(present, RecordRow, strict=False)
    except msgspec.ValidationError as error:
        raise DataError(f"{place}: {error}.", _COLUMNS) from error
    labels = read.labels or ([read.label] if read.label else [])
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise DataError(
            f"{place}: {unknown[0]!r} is no level.", f"The levels: {', '.join(LABELS)}."
        )
    messages = (*(_message(turn, place) for turn in read.context), Message("user", read.text))
    levels = frozenset(Severity.from_label(label) for label in labels)
    rules = tuple(rule for rule in (read.rule, *read.rules) if rule.strip())
    return Record(messages, levels, rules, read)


def _message(turn: TurnRow, place: str) -> Message:
    if turn.role not in ("user", "assistant"):
        raise DataError(f'{place}: a turn is of "user" or "assistant", not {turn.role!r}.')
    return Message(turn.role, turn.content)  # type: ignore[arg-type]
