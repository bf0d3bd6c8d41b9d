"""ProsocialDialog in its original columns (Kim et al. 2022, huggingface allenai/prosocial-dialog).

A row is one exchange: `context` is what the user says, `response` the answer. The text of a record
is the user's utterance; its context is every exchange before it in the dialogue, which is built
once for each dialogue. The level is the one that the annotators' votes gave (`safety_label`).
"""

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

_COLUMNS = ("context", "response", "safety_label", "dialogue_id", "response_id")


class ProsocialRecipe(msgspec.Struct, frozen=True):
    """The keys of a source of ProsocialDialog's files."""

    name: str = "prosocialdialog"
    licence: str = "CC-BY-4.0"
    turns: int = 8
    """At most so many earlier turns are kept as context, the newest ones."""


class ProsocialRow(msgspec.Struct):
    """A row of the original files."""

    context: str
    response: str
    dialogue_id: int
    response_id: int
    safety_label: str = ""
    safety_annotations: list[str] = []
    rots: list[str] = []
    episode_done: bool = False


class Prosocial:
    """Makes drafts of dialogues."""

    row_type: Any = ProsocialRow
    whole = True

    def __init__(self, recipe: ProsocialRecipe) -> None:
        self._recipe = recipe

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raise DataError unless the original columns are there."""
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise DataError(
                f"{place}: not ProsocialDialog's columns: {', '.join(missing)} missing; here are "
                f"{', '.join(columns)}.",
                'For rows in another form use kind = "table" or "pack".',
            )

    def drafts(self, rows: Iterable[NumberedRow], stem: str) -> Iterator[Made]:
        """The user's turns, dialogue by dialogue. Rows may come in any order."""
        dialogues: dict[int, list[NumberedRow]] = {}
        for numbered in rows:
            dialogues.setdefault(numbered[1].dialogue_id, []).append(numbered)
        for dialogue, turns in dialogues.items():
            turns.sort(key=lambda numbered: numbered[1].response_id)
            yield from self._dialogue(f"{self._recipe.name}/{stem}/{dialogue}", turns)

    def _dialogue(self, thread: str, turns: Sequence[NumberedRow]) -> Iterator[Made]:
        history: list[tuple[str, str]] = []
        for number, row in turns:
            labels, unknown = level_names([row.safety_label] if row.safety_label else [])
            if unknown:
                yield BadRow(number, f"safety_label {unknown!r} is no level")
            else:
                yield Draft(
                    f"{thread}/{row.response_id}",
                    self._recipe.name,
                    thread,
                    self._recipe.licence,
                    "opening" if not history else "turn",
                    row.context,
                    history[-self._recipe.turns :] if self._recipe.turns else [],
                    labels,
                    tuple(dict.fromkeys(rot for rot in row.rots if rot.strip())),
                    quality=quality_of(labels, weak=False),
                )
            history.append(("user", row.context))
            history.append(("assistant", row.response))


PROSOCIAL = SourceKind(ProsocialRecipe, Prosocial)
