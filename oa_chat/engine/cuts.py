"""Where a long text is cut, so that nothing in it escapes a model with a short memory. Pure.

`overlapping` covers all tokens with spans that overlap by half, so that whatever is shorter than
half a span is whole in one of them. `sentences` cuts text into sentences, which are also what the
tokenizer gets: no call sees more than a bounded piece of it. Nothing here judges.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""The first token and the one after the last."""
Ids = tuple[int, ...]
"""The tokens of a text, as a model is given them."""

_END = re.compile(r"""[.!?…]["'”’)\]]*(?=\s)|[。！？]|\n\s*""")
_SHORTEST = 10
"""Characters. Less goes with what follows: a megabyte of "! ! !" is not half a million calls."""
_LONGEST = 2000
"""Characters. Longer runs without an end of sentence are cut at a space, or anywhere."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's token ids, and where its sentences are."""

    ids: list[int]
    sentences: list[Span]
    places: list[Span]
    """The first character of each sentence and the one after its last."""

    def characters(self, span: Span) -> Span:
        """Where the sentences are that these tokens belong to."""
        first = bisect_right(self.sentences, span[0], key=lambda tokens: tokens[1])
        last = bisect_left(self.sentences, span[1], key=lambda tokens: tokens[1])
        return self.places[first][0], self.places[min(last, len(self.places) - 1)][1]


def sentences(text: str) -> Iterator[str]:
    """The text in pieces; joined they are the text again. Spaces lead a piece."""
    start = 0
    for match in _END.finditer(text):
        if match.end() - start < _SHORTEST:
            continue
        yield from _bounded(text, start, match.end())
        start = match.end()
    if start < len(text):
        yield from _bounded(text, start, len(text))


def _bounded(text: str, start: int, end: int) -> Iterator[str]:
    while end - start > _LONGEST:
        space = text.rfind(" ", start + 1, start + _LONGEST)
        cut = space if space > 0 else start + _LONGEST
        yield text[start:cut]
        start = cut
    yield text[start:end]


def overlapping(span: Span, size: int) -> list[Span]:
    """Spans of `size` tokens over `span`; the last one ends where `span` does."""
    start, end = span
    if end - start <= size:
        return [span]
    starts = [*range(start, end - size, max(1, size // 2)), end - size]
    return [(first, first + size) for first in starts]


def joined(spans: Sequence[Span], least: int) -> list[Span]:
    """Sentences of fewer than `least` tokens joined with what follows ("No. Not now.")."""
    pieces: list[Span] = []
    start: int | None = None
    for first, end in spans:
        start = first if start is None else start
        if end - start >= least:
            pieces.append((start, end))
            start = None
    if start is not None:
        pieces.append((start, spans[-1][1]))
    return pieces


def inside(span: Span, windows: Sequence[Span]) -> range:
    """Numbers of the `windows` (in order, of one length) that hold all of `span`; one at least."""
    start, end = span
    first = min(bisect_left(windows, end, key=lambda window: window[1]), len(windows) - 1)
    last = bisect_right(windows, start, key=lambda window: window[0])
    return range(first, max(last, first + 1))
