"""A record on its way through the row steps, and what a row step is.

This is the seam between the steps (`converters.prepare.steps`) and what runs them over the data
(`converters.prepare.row_phase`). A draft lives inside one worker only; what leaves a worker is a
table of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

KEEP = ""
"""What a step answers for a record that stays; anything else is the reason for dropping it."""


@dataclass(slots=True)
class Draft:
    """A record that the row steps read and change in place."""

    id: str
    source: str
    thread: str
    licence: str
    kind: str
    text: str
    context: list[tuple[str, str]]
    """(role, text), oldest first."""
    labels: tuple[str, ...]
    """Levels by name; may be empty."""
    rules: tuple[str, ...]
    lang: str = ""
    weak: bool = False
    score: float | None = None
    weight: float = 1.0
    quality: int = 0
    """How well labelled: human gold 3, several levels allowed 2, weak 1, none 0."""
    notes: dict[str, int] = field(default_factory=dict)
    """Counts, such as {"email": 2}."""


class RowStep(Protocol):
    """A step that looks at one record alone: pure, so that workers agree."""

    name: str
    """Its name in the recipe."""

    def apply(self, draft: Draft) -> str:
        """KEEP (the draft may have been changed), or the reason for dropping the record."""


@runtime_checkable
class ByText(Protocol):
    """What a row step may offer besides `apply`: the same for many drafts, quicker."""

    def apply_all(self, drafts: Sequence[Draft]) -> list[str]:
        """As `apply` for each draft, in order."""


@dataclass(frozen=True, slots=True)
class StepKind:
    """A kind of row step, as the registry holds it."""

    struct: type[msgspec.Struct]
    """Its table in the recipe; every key has a default."""
    make: Callable[[Any], RowStep]
    """The step, from that struct."""
    version: int = 1
    """Goes up when the step's answers change, so that finished partitions are not reused."""
