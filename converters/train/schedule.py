"""Learning rates over the steps, and batches of like length. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from converters.train.settings import Schedule, TrainSettings

_CHUNK = 50
"""Batches that are sorted by length together: padding below 3 %, order still random."""


def rates(kind: Schedule, steps: int, warmup: float, end: float = 0.0) -> Callable[[int], float]:
    """The factor for each step from 0: up over `warmup` (below 1: a share), then to `end`."""
    rising = warmup if warmup >= 1 else warmup * steps
    rising = min(rising, steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        if kind == "constant":
            return 1.0
        done = (step - rising) / max(1.0, steps - rising)
        left = 1 - done if kind == "linear" else (1 + math.cos(math.pi * min(1.0, done))) / 2
        return end + (1 - end) * max(0.0, left)

    return factor


def steps_of(settings: TrainSettings, records: int) -> int:
    """Optimizer steps for this many records."""
    if settings.max_steps:
        return settings.max_steps
    rows = settings.batch * settings.accumulation
    return max(1, math.ceil(settings.epochs * records / rows))


class Batches:
    """Which records make up each step; a function of seed and step.

    An epoch's records are shuffled, and within chunks sorted by length. The last batch of an epoch
    may be smaller.
    """

    def __init__(
        self, lengths: Callable[[int], Sequence[int]], size: int, seed: int, grouped: bool
    ) -> None:
        """`lengths(epoch)` has the length of each record; `size` is a step's records."""
        self._lengths = lengths
        self._size = size
        self._seed = seed
        self._grouped = grouped
        self._epochs: dict[int, list[list[int]]] = {}
        self.per_epoch = math.ceil(len(lengths(0)) / size)

    def step(self, step: int) -> tuple[int, list[int]]:
        """The epoch of a step and the numbers of its records."""
        epoch, inner = divmod(step, self.per_epoch)
        if epoch not in self._epochs:
            self._epochs = {epoch: self._epoch(epoch)}
        return epoch, self._epochs[epoch][inner]

    def _epoch(self, epoch: int) -> list[list[int]]:
        lengths = self._lengths(epoch)
        chance = random.Random(f"{self._seed}/{epoch}")  # noqa: S311 - no secret
        order = list(range(len(lengths)))
        chance.shuffle(order)
        if self._grouped:
            chunk = self._size * _CHUNK
            parts = [order[at : at + chunk] for at in range(0, len(order), chunk)]
            order = [row for part in parts for row in sorted(part, key=lengths.__getitem__)]
        batches = [order[at : at + self._size] for at in range(0, len(order), self._size)]
        if self._grouped:
            chance.shuffle(batches)
        return batches
