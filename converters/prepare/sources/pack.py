"""Files of records (`converters.records`): the packs of the project, and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from converters.errors import DataError
from converters.prepare.draft import Draft
from converters.prepare.sources.base import (
    BadRow,
    Made,
    NumberedRow,
    SourceKind,
    level_names,
    quality_of,
)
from converters.records import RecordRow


class PackRecipe(msgspec.Struct, frozen=True):
    """The keys of a source of records."""

    name: str = ""
    """The source of records that name none."""
    licence: str = "unknown"
    """Of records that name none."""
    unlabelled: bool = True
    """Whether records without a level are taken; rules alone need no level."""
    weight: float = 1.0
    """Multiplies the records' own weight."""


class Pack:
    """Makes drafts of records."""

    row_type: Any = RecordRow
    whole = False

    def __init__(self, recipe: PackRecipe) -> None:
        self._recipe = recipe

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raise DataError unless the rows have a text."""
        if "text" not in columns:
            raise DataError(
                f"{place}: records have a column text; here are {', '.join(columns)}.",
                'Map the columns with kind = "table".',
            )

    def drafts(self, rows: Iterable[NumberedRow], stem: str) -> Iterator[Made]:
        """One draft for each record."""
        for number, row in rows:
            labels, unknown = level_names(row.labels or ([row.label] if row.label else []))
            if unknown:
                yield BadRow(number, f"{unknown!r} is no level")
            elif labels or self._recipe.unlabelled:
                yield self._draft(row, labels, f"{stem}:{number}")

    def _draft(self, row: RecordRow, labels: tuple[str, ...], key: str) -> Draft:
        return Draft(
            row.id or key,
            row.source or self._recipe.name or "pack",
            row.thread or row.id or key,
            row.licence or self._recipe.licence,
            row.kind,
            row.text,
            [(turn.role, turn.content) for turn in row.context],
            labels,
            tuple(rule for rule in (row.rule, *row.rules) if rule.strip()),
            lang=row.lang,
            weak=row.weak,
            score=row.score,
            weight=row.weight * self._recipe.weight,
            quality=quality_of(labels, weak=row.weak),
        )


PACK = SourceKind(PackRecipe, Pack)
