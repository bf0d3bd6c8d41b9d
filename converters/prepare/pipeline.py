"""What every worker knows: the recipe's sources and row steps, ready to be made.

It is pickled and sent to workers, so it holds plain values; steps with large tables (a language
model, an index of evaluation sets) are made in the worker, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import RecipeError
from converters.prepare.draft import Draft, RowStep, StepKind
from converters.prepare.recipe import (
    GLOBAL_STEPS,
    SPLITS,
    DecontaminateRecipe,
    NearRecipe,
    Recipe,
    place_of_source,
    place_of_step,
    table_of,
    unknown_name,
)
from converters.prepare.sources import SOURCES
from converters.prepare.sources.base import Source
from converters.prepare.steps.registry import STEPS

_VERSION = 1
"""Goes up when partitions get another form."""
_SOURCE_KEYS = ("kind", "path", "split")


class SourceTable(msgspec.Struct, frozen=True):
    """The keys that every `[[source]]` table has."""

    kind: str
    path: list[str]
    split: str = ""


@dataclass(frozen=True)
class Pipeline:
    """A checked recipe."""

    recipe: Recipe
    place: Path
    """The recipe's file, for messages."""
    sources: tuple[SourceTable, ...]
    eval_files: tuple[str, ...] = ()
    """The evaluation sets of `decontaminate`, where they lie."""
    attach_model: str = ""
    """The GGUF file of `attach`, where it lies."""

    def make_source(self, number: int) -> Source:
        """The n-th source, from 0."""
        table = self.recipe.source[number]
        kind = SOURCES[self.sources[number].kind]
        place = place_of_source(self.place, number + 1)
        own = {key: value for key, value in table.items() if key not in _SOURCE_KEYS}
        return kind.make(table_of(kind.struct, own, place))

    def make_steps(self) -> list[RowStep]:
        """The row steps in the recipe's order, and decontamination behind them."""
        steps: list[RowStep] = [
            STEPS[name].make(table_of(STEPS[name].struct, table, place_of_step(self.place, name)))
            for name, table in self.recipe.steps.items()
            if name in STEPS
        ]
        decontaminate = self.settings("decontaminate", DecontaminateRecipe)
        if decontaminate is not None:
            from converters.prepare.decontaminate import Decontaminate

            steps.append(Decontaminate(self.eval_files, decontaminate.threshold))
        return steps

    def settings(self, name: str, struct: type[Any]) -> Any:
        """The table of a step that is no row step, or None if the recipe has it not."""
        if name not in self.recipe.steps:
            return None
        return table_of(struct, self.recipe.steps[name], place_of_step(self.place, name))

    @property
    def near(self) -> NearRecipe | None:
        """The near duplicates' settings, if they are to be found."""
        found: NearRecipe | None = self.settings("near", NearRecipe)
        return found

    @property
    def bands(self) -> int:
        """How many bands of MinHash values a partition holds."""
        if self.near is None:
            return 0
        from converters.prepare.near import BANDS

        return BANDS

    def band_columns(self, drafts: Sequence[Draft]) -> list[Any]:
        """The keys of the drafts' texts, band by band."""
        from converters.prepare.candidates import band_columns

        columns: list[Any] = band_columns(drafts)
        return columns

    def pin(self, source: int) -> int:
        """The split that the recipe gives a source as a whole, as its number; -1 for none."""
        split = self.sources[source].split
        return SPLITS.index(split) if split else -1

    def versions(self) -> list[tuple[str, int]]:
        """What partitions depend on besides the recipe and the input."""
        kinds: dict[str, StepKind | Any] = {**STEPS, **SOURCES}
        return [("partition", _VERSION), *((name, kinds[name].version) for name in sorted(kinds))]


def checked(recipe: Recipe, place: Path) -> Pipeline:
    """The recipe with every table looked at. Raises RecipeError with line and nearest name."""
    tables = []
    for number, table in enumerate(recipe.source, start=1):
        tables.append(_source_table(table, place_of_source(place, number)))
    pipeline = Pipeline(recipe, place, tuple(tables))
    for number in range(len(tables)):
        pipeline.make_source(number)
    seen_global = ""
    for name, table in recipe.steps.items():
        where = place_of_step(place, name)
        if name in GLOBAL_STEPS:
            table_of(GLOBAL_STEPS[name], table, where)
            seen_global = name
        elif name not in STEPS:
            raise unknown_name("step", name, [*STEPS, *GLOBAL_STEPS], where)
        elif seen_global:
            raise RecipeError(
                f"{where}: stands behind {seen_global}, which looks at all records.",
                f"Steps that look at one record alone come first: move it above {seen_global}.",
            )
        else:
            # Made as well as read: a step may refuse values that fit each alone.
            STEPS[name].make(table_of(STEPS[name].struct, table, where))
    return pipeline


def _source_table(table: dict[str, Any], place: str) -> SourceTable:
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise RecipeError(f"{place}: it has no kind.", f"Kinds: {', '.join(SOURCES)}.")
    if kind not in SOURCES:
        raise unknown_name("source", kind, list(SOURCES), place)
    own = {key: table[key] for key in _SOURCE_KEYS if key in table}
    if isinstance(own.get("path"), str):
        own["path"] = [own["path"]]
    read = table_of(SourceTable, own, place)
    if read.split and read.split not in SPLITS:
        raise unknown_name("split", read.split, SPLITS, place)
    table_of(SOURCES[kind].struct, table, place, _SOURCE_KEYS)
    return read
