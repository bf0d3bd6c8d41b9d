"""Any CSV, JSON Lines or Parquet file, by a mapping of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from converters.errors import DataError, RecipeError
from converters.prepare.draft import Draft
from converters.prepare.recipe import unknown_name
from converters.prepare.sources.base import (
    BadRow,
    Made,
    NumberedRow,
    SourceKind,
    level_names,
    quality_of,
)
from oa_chat.verdict import LABELS

_FIELDS = ("text", "label", "rule", "id", "thread", "lang", "kind", "source", "licence", "weight")
"""What a column can be mapped to."""


class TableRecipe(msgspec.Struct, frozen=True):
    """The keys of a source of any table."""

    columns: dict[str, str]
    """From a field of the record to a column of the file: ``{text = "post", label = "class"}``."""
    name: str
    """The source of the records."""
    licence: str = "unknown"
    values: dict[str, str] = {}
    """Constant fields: ``{lang = "de"}``."""
    labels: dict[str, list[str]] = {}
    """From a value of the label column to the levels that it allows; none leaves it unlabelled."""
    weak: bool = False
    """Whether the labels are guesses (of a model, say)."""


class Table:
    """Makes drafts of rows with any columns."""

    row_type: Any = dict[str, Any]
    whole = False

    def __init__(self, recipe: TableRecipe) -> None:
        for field in (*recipe.columns, *recipe.values):
            if field not in _FIELDS:
                raise unknown_name("field", field, _FIELDS, "A table's columns or values")
        if "text" not in recipe.columns:
            raise RecipeError("A table's columns need a text.", 'columns = {text = "..."}')
        self._recipe = recipe
        self._levels = {key: self._checked(key, value) for key, value in recipe.labels.items()}

    @staticmethod
    def _checked(key: str, value: Sequence[str]) -> tuple[str, ...]:
        levels, unknown = level_names(value)
        if unknown:
            raise RecipeError(
                f"A table's labels.{key}: {unknown!r} is no level.",
                f"The levels: {', '.join(LABELS)}.",
            )
        return levels

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raise DataError for a mapped column that the file does not have."""
        for column in self._recipe.columns.values():
            if column not in columns:
                error = unknown_name("column", column, columns, place)
                raise DataError(error.message, error.hint)

    def drafts(self, rows: Iterable[NumberedRow], stem: str) -> Iterator[Made]:
        """One draft for each row."""
        recipe = self._recipe
        for number, row in rows:
            fields = dict(recipe.values)
            for field, column in recipe.columns.items():
                fields[field] = _text(row.get(column))
            labels, unknown = self._labels(fields.get("label", ""))
            weight = _number(fields.get("weight", ""))
            if unknown:
                yield BadRow(number, f"label {unknown!r} is not mapped to a level")
            elif weight is None:
                yield BadRow(number, f"weight {fields['weight']!r} is no number")
            else:
                yield self._draft(fields, labels, weight, f"{recipe.name}/{stem}:{number}")

    def _labels(self, value: str) -> tuple[tuple[str, ...], str]:
        if value in self._levels:
            return self._levels[value], ""
        return level_names([value]) if value else ((), "")

    def _draft(
        self, fields: Mapping[str, str], labels: tuple[str, ...], weight: float, key: str
    ) -> Draft:
        weak = self._recipe.weak and bool(labels)
        rule = fields.get("rule", "")
        return Draft(
            fields.get("id", "") or key,
            fields.get("source", "") or self._recipe.name,
            fields.get("thread", "") or fields.get("id", "") or key,
            fields.get("licence", "") or self._recipe.licence,
            fields.get("kind", ""),
            fields["text"],
            [],
            labels,
            (rule,) if rule.strip() else (),
            lang=fields.get("lang", ""),
            weak=weak,
            weight=weight,
            quality=quality_of(labels, weak=weak),
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _number(text: str) -> float | None:
    if not text:
        return 1.0
    try:
        return float(text)
    except ValueError:
        return None


TABLE = SourceKind(TableRecipe, Table)
