"""The seam between a kind of training and the loop that runs it.

A job knows data, model and loss. The loop (`loop`) knows steps, rates, checkpoints and processes.
Batches are functions of seed and step alone, so that a resumed training sees what it would have
seen, and so that every process knows the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Inputs = dict[str, Any]
"""Tensors by name, on the CPU."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the training with its own data and rates."""

    name: str
    steps: int
    rate: Callable[[int], float]
    """What each group's `scale` is multiplied by, at a step of this stage."""
    batches: Callable[[int, int, int], Sequence[Inputs]]
    """(step of the stage, rank, processes): what this process computes for the step. The losses of
    all processes' inputs, as `Job.loss` gives them, add up to the loss of the step."""
    evaluate_every: int = 0
    """0: at the end alone."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the dev files say."""

    score: float
    """The higher the better: early stopping and the choice of weights go by it."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the dry run's table."""

    name: str
    label: str
    records: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What the data is, for the dry run and the card."""

    parts: Sequence[Part]
    lengths: Sequence[int]
    """Tokens of each record."""
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """What in the recipe has no effect on this data."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a job says about its saved model."""

    metrics: Mapping[str, Any]
    """For metrics.json and the card."""
    card: str
    """Sections of the card, in Markdown."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """For the card's head."""


class Processes(Protocol):
    """The processes that train together."""

    rank: int
    count: int

    def gather(self, rows: list[Any]) -> list[Any]:
        """The rows of all processes, in the order of ranks, in every process."""
        ...


class Job(Protocol):
    """One training."""

    model: Any
    stages: Sequence[Stage]
    files: Mapping[str, Path]
    """Every file that is read, by the name it has in the recipe."""
    survey: Survey

    def optimizers(self) -> list[Any]:
        """Optimizers whose groups carry a `scale`."""
        ...

    def loss(self, model: Any, inputs: Inputs) -> Any:
        """The inputs' share of the step's loss, a scalar tensor. `model` may be wrapped."""
        ...

    def evaluate(self, model: Any, processes: Processes) -> Evaluation | None:
        """Measure on the dev files; None without any."""
        ...

    def save(self, folder: Path, processes: Processes) -> Finished | None:
        """Write the finished model; None in processes other than the first."""
        ...
