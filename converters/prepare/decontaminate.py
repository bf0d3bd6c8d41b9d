"""Decontamination as the last row step: it needs the evaluation sets and one record, no others.

`converters.prepare.contamination` decides what is known; this reads the sets, once in each worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from converters.errors import DataError
from converters.prepare.contamination import EvaluationSets
from converters.prepare.draft import KEEP, Draft
from converters.prepare.reading import stem_of
from converters.rows import read_rows


class Decontaminate:
    """Drops records that are, or nearly are, a row of an evaluation set."""

    name = "decontaminate"

    def __init__(self, files: Sequence[str], threshold: float) -> None:
        """Read the sets. Raises DataError for a file without texts."""
        self._sets = EvaluationSets(
            {stem_of(file): list(_texts(Path(file))) for file in files}, threshold
        )

    def apply(self, draft: Draft) -> str:
        """KEEP, or "in SET" or "near SET"."""
        return self.apply_all([draft])[0]

    def apply_all(self, drafts: Sequence[Draft]) -> list[str]:
        """As `apply` for each draft, much quicker."""
        known = self._sets.find_all([draft.text for draft in drafts])
        return [KEEP if one is None else one.reason for one in known]


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    for number, row in read_rows(path):
        text: Any = row.get("text")
        if not isinstance(text, str):
            raise DataError(
                f"{path}, line {number}: an evaluation set needs rows with a text.",
                f"Here are {', '.join(row)}.",
            )
        yield number, text
