"""What is judged for one passage, so that nothing hides in a long text. Pure.

Nothing may hide in a long text, and one bad sentence fades inside a long harmless window. So a
message of more than `SHORT` tokens is judged twice: in windows of full length, half overlapping,
and sentence by sentence. A sentence that comes out unlike the window around it is judged a third
time, with what precedes it as context, and the mean of the three is one more window of the answer.

Measured with the embedded guard on 24 bad sentences of our own at the front, in the middle and at
the end of 100-word texts (40 or 50 made of 56 harmless sentences of our own; 36 or 70 passages of
an encyclopedia; our own ones without any punctuation). Harmless = texts with any window at "needs
caution" or worse; found = the same with the bad sentence in it:

                                            own           passages      no punctuation
                                            harmless/found
    windows of 128 alone                    0.00 / 0.35   0.06 / 0.60
    windows of 64                           0.12 / 0.82   0.22 / 0.88
    windows of 32                           0.35 / 0.96   0.33 / 0.94
    sentences as they are                   0.30 / 1.00   0.27 / 1.00
    window + sentence, mean of two          0.00 / 0.75   0.11 / 0.83
    mean of three, pieces to 62 tokens      0.00 / 0.94   0.10 / 0.96   0.12 / 0.82
    mean of three, pieces to 48 tokens      0.00 / 0.94   0.11 / 0.94   0.16 / 0.86   (chosen)
    mean of three, pieces to 32 tokens      0.00 / 0.94   0.13 / 0.96   0.20 / 0.92

What a label means is not known here: "unlike" is another most probable label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from oa_chat.engine import cuts
from oa_chat.engine.cuts import Ids
from oa_chat.engine.protocol import Window

Scores = list[float]

SHORT = 32
"""Tokens up to which a message is judged as a whole alone. With 62, texts of 25 harmless words
with a bad sentence among them were found in 83 of 100 cases instead of 96, with as many false
alarms; messages of 34 to 62 tokens took 13 ms instead of 31."""
LONGEST_PIECE = 48
SHORTEST_PIECE = 6
PIECE_CONTEXT = 32
LEAST_CONTEXT = 8
"""Fewer tokens of context are left out (the card of the embedded guard)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence of a long text: on its own, and behind what precedes it."""

    span: cuts.Span
    alone: Ids
    behind: Ids


@dataclass(frozen=True, slots=True)
class Plan:
    """What is judged for one passage."""

    text: cuts.Tokens
    wholes: list[tuple[cuts.Span, Ids]]
    """The windows of full length; a short message is one."""
    pieces: list[Piece] = field(default_factory=list)

    def first_look(self) -> Iterator[Ids]:
        """What is judged in any case."""
        yield from (ids for _, ids in self.wholes)
        yield from (piece.alone for piece in self.pieces)

    def second_look(self, scores: Mapping[Ids, Scores]) -> Iterator[Ids]:
        """Sentences in doubt, in their context."""
        yield from (piece.behind for piece, _ in self._doubts(scores))

    def windows(self, scores: Mapping[Ids, Scores]) -> list[Window]:
        """The answer; empty if anything has not been judged."""
        looks = [*self.first_look(), *self.second_look(scores)]
        if not all(ids in scores for ids in looks):
            return []
        doubts = [
            (piece.span, [scores[piece.alone], scores[piece.behind], around])
            for piece, around in self._doubts(scores)
        ]
        if len(self.wholes) == 1 and not doubts:
            return [Window(scores[self.wholes[0][1]])]
        place = self.text.characters
        return [
            *(Window(scores[ids], *place(span)) for span, ids in self.wholes),
            *(Window(_mean(*looks), *place(span), looks) for span, looks in doubts),
        ]

    def _doubts(self, scores: Mapping[Ids, Scores]) -> Iterator[tuple[Piece, Scores]]:
        """Sentences that come out unlike the window around them, with that window's scores."""
        spans = [span for span, _ in self.wholes]
        for piece in self.pieces:
            alone = scores.get(piece.alone)
            around = [scores.get(self.wholes[n][1]) for n in cuts.inside(piece.span, spans)]
            known = [row for row in around if row is not None]
            if alone is None or len(known) < len(around):
                continue
            nearest = min(known, key=lambda row: math.dist(row, alone))
            if _top(nearest) != _top(alone):
                yield piece, nearest


def plan(
    text: cuts.Tokens,
    wholes: list[tuple[cuts.Span, Ids]],
    join: Callable[[Sequence[int], Sequence[int]], Ids],
    max_tokens: int,
) -> Plan:
    """The plan for a text whose windows are `wholes`; `join` makes an input of text and context."""
    found = Plan(text, wholes)
    if len(text.ids) <= min(SHORT, max_tokens // 2):
        return found
    longest = min(LONGEST_PIECE, (max_tokens - 2) // 2)
    for sentence in cuts.joined(text.sentences, SHORTEST_PIECE):
        for start, end in cuts.overlapping(sentence, longest):
            piece, before = text.ids[start:end], text.ids[max(0, start - PIECE_CONTEXT) : start]
            found.pieces.append(Piece((start, end), join(piece, ()), join(piece, before)))
    return found


def _mean(*rows: Scores) -> Scores:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _top(row: Scores) -> int:
    return row.index(max(row))
