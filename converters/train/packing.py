"""Documents packed into rows of a fixed length, and the mask that keeps them apart. Pure but torch.

Best fit, longest first, within a stretch of the shuffled documents: rows are 97 to 99 % full and
no document is cut.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from converters.train.chat_data import Document
from converters.train.job import Inputs

_STRETCH = 2000


@dataclass(frozen=True, slots=True)
class Source:
    """The documents of a file, and how often each comes in a round."""

    documents: Sequence[Document]
    weight: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A document in a row, behind a system prompt or none."""

    document: Document
    system: Document | None = None

    @property
    def length(self) -> int:
        """In tokens."""
        return len(self.document.ids) + (len(self.system.ids) if self.system else 0)


Row = list[Piece]


class Rounds:
    """Rows, round after round through the sources; a function of seed and row number."""

    def __init__(
        self,
        sources: Sequence[Source],
        context: int,
        seed: str,
        systems: Sequence[Document] = (),
        system_share: float = 0.0,
    ) -> None:
        self._sources = sources
        self._context = context
        self._seed = seed
        self._systems = systems
        self._share = system_share if systems else 0.0
        self._first = [0]
        """The number of the first row of each round that is known."""
        self._round: tuple[int, list[Row]] = (-1, [])

    def rows(self, start: int, count: int) -> list[Row]:
        """Some rows, by number."""
        return [self._row(number) for number in range(start, start + count)]

    def round_size(self) -> int:
        """Rows of the first round."""
        return len(self._packed(0))

    def _row(self, number: int) -> Row:
        while self._first[-1] <= number:
            self._first.append(self._first[-1] + len(self._packed(len(self._first) - 1)))
        turn = max(n for n, first in enumerate(self._first) if first <= number)
        return self._packed(turn)[number - self._first[turn]]

    def _packed(self, turn: int) -> list[Row]:
        if self._round[0] != turn:
            self._round = (turn, self._pack(turn))
        return self._round[1]

    def _pack(self, turn: int) -> list[Row]:
        chance = random.Random(f"{self._seed}/{turn}")  # noqa: S311 - no secret
        pieces = []
        for source in self._sources:
            for one in source.documents:
                times = int(source.weight) + (chance.random() < source.weight % 1)
                pieces += [self._piece(one, chance) for _ in range(times)]
        chance.shuffle(pieces)
        rows: list[Row] = []
        for at in range(0, len(pieces), _STRETCH):
            rows += packed(pieces[at : at + _STRETCH], self._context)
        chance.shuffle(rows)
        return rows

    def _piece(self, one: Document, chance: random.Random) -> Piece:
        if chance.random() >= self._share:
            return Piece(one)
        piece = Piece(one, chance.choice(self._systems))
        return piece if piece.length <= self._context else Piece(one)


def packed(pieces: Sequence[Piece], context: int) -> list[Row]:
    """Rows of at most `context` tokens: each piece goes where it leaves the least room."""
    rows: list[Row] = []
    rooms: list[tuple[int, int]] = []
    """Room and number of each row, in order of room."""
    for piece in sorted(pieces, key=lambda one: -one.length):
        at = bisect.bisect_left(rooms, (piece.length, -1))
        if at < len(rooms):
            room, number = rooms.pop(at)
        else:
            room, number = context, len(rows)
            rows.append([])
        rows[number].append(piece)
        bisect.insort(rooms, (room - piece.length, number))
    return rows


def tensors(rows: Sequence[Row], context: int, pad: int, others: float) -> Inputs:
    """Rows as inputs of a causal model: ids, positions, mask, targets and their weights.

    `others` is the weight of tokens that the assistant does not say. The weight of a target is that
    of the token itself; the first token of a document is no target.
    """
    import torch

    longest = min(context, max(sum(piece.length for piece in row) for row in rows))
    ids = torch.full((len(rows), longest), pad)
    positions = torch.zeros((len(rows), longest), dtype=torch.long)
    owner = torch.full((len(rows), longest), -1)
    weights = torch.zeros((len(rows), longest))
    for number, row in enumerate(rows):
        at = 0
        for count, piece in enumerate(row):
            parts = [piece.system, piece.document] if piece.system else [piece.document]
            told = [token for part in parts for token in part.ids]
            said = [flag for part in parts for flag in part.said]
            end = at + len(told)
            ids[number, at:end] = torch.tensor(told)
            positions[number, at:end] = torch.arange(len(told))
            owner[number, at:end] = count
            weights[number, at:end] = torch.tensor([1.0 if flag else others for flag in said])
            weights[number, at] = 0.0
            at = end
    return {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": _mask(owner),
        "targets": ids.roll(-1, dims=1),
        "weights": _shifted(weights),
    }


def _shifted(weights: Any) -> Any:
    moved = weights.roll(-1, dims=1)
    moved[:, -1] = 0.0
    return moved


def _mask(owner: Any) -> Any:
    """Who sees whom: earlier tokens of the same document; padding sees itself."""
    import torch

    same = owner[:, :, None] == owner[:, None, :]
    length = owner.shape[1]
    causal = torch.ones((length, length), dtype=torch.bool).tril()
    return (same & causal)[:, None]
