"""How near a message is in meaning to the rules' examples, for an encoder that is there anyway.

Shared words miss what is said in other words. An encoder alone, fine-tuned to give a level, finds
fewer right rules than shared words do, but both together clearly find the most (the numbers are
in docs/rulebook.md). Plain Python: the caller compares a message with few rules only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import mul

Vector = tuple[float, ...]


class RuleVectors:
    """The embeddings of every rule's text and examples, centred and of length one."""

    def __init__(self, groups: Sequence[Sequence[Sequence[float]]]) -> None:
        """Take one group of vectors for each rule, all of one width."""
        every = [vector for group in groups for vector in group]
        widths = {len(vector) for vector in every}
        if len(widths) != 1 or not all(groups):
            raise ValueError(f"the embeddings must have one width, not {sorted(widths)}")
        # All texts share a direction that says nothing; without it, cosines spread out.
        self._middle = _mean(every)
        self._examples = [[self._unit(vector) for vector in group] for group in groups]
        self._centres = [_normalised(_mean(group)) for group in self._examples]

    def nearness(self, embedding: Sequence[float], numbers: Iterable[int]) -> dict[int, float]:
        """For each rule asked for: the mean of two cosines, with its centre and nearest example."""
        if len(embedding) != len(self._middle):
            raise ValueError(f"the embedding has {len(embedding)} numbers, not {len(self._middle)}")
        asked = self._unit(embedding)
        return {
            number: (
                _dot(asked, self._centres[number])
                + max(_dot(asked, example) for example in self._examples[number])
            )
            / 2
            for number in numbers
        }

    def _unit(self, vector: Sequence[float]) -> Vector:
        return _normalised([a - b for a, b in zip(vector, self._middle, strict=True)])


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(map(mul, left, right))


def _mean(vectors: Sequence[Sequence[float]]) -> Vector:
    return tuple(sum(column) / len(vectors) for column in zip(*vectors, strict=True))


def _normalised(vector: Sequence[float]) -> Vector:
    length = math.sqrt(_dot(vector, vector)) or 1.0
    return tuple(value / length for value in vector)
