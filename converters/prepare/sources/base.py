"""What a source is: it makes drafts of the rows of a file, and knows nothing of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from converters.prepare.draft import Draft
from oa_chat.verdict import LABELS

UNREADABLE = "unreadable"
"""The reason under which rows that cannot be read are counted."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that no record can be made of."""

    number: int
    """Its line (of a Parquet file or JSON array: its row), from 1."""
    why: str


NumberedRow = tuple[int, Any]
Made = Draft | BadRow


class Source(Protocol):
    """Makes drafts of rows."""

    row_type: Any
    """What a row is read as: a msgspec struct, or dict for rows of any columns."""
    whole: bool
    """Whether a file must be read in one piece, because rows depend on each other."""

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raise DataError if a file with these columns cannot be of this source."""

    def drafts(self, rows: Iterable[NumberedRow], stem: str) -> Iterator[Made]:
        """The drafts of a file's rows; `stem` is the file's name, for ids and threads."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source, as the registry holds it."""

    struct: type[msgspec.Struct]
    """Its keys in a `[[source]]` table."""
    make: Callable[[Any], Source]
    version: int = 1
    """Goes up when the source's drafts change, so that finished partitions are not reused."""


def quality_of(labels: Sequence[str], *, weak: bool) -> int:
    """How well labelled: one level by people 3, several allowed 2, weak 1, none 0."""
    if not labels:
        return 0
    if weak:
        return 1
    return 3 if len(labels) == 1 else 2


def level_names(values: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """Levels by name in order of severity, and the first value that is none ("" if all are).

    "needs caution" and "__needs_caution__" are the same level.
    """
    found = set()
    for value in values:
        name = f"__{value.strip().strip('_').replace(' ', '_').lower()}__"
        if name not in LABELS:
            return (), value or "(empty)"
        found.add(name)
    return tuple(label for label in LABELS if label in found), ""
