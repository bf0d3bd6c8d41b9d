"""Shingles: texts as sets of character 5-grams, hashed, many texts at a time.

Near duplicates and decontamination compare these sets; their Jaccard similarity is the measure.
The grams are taken of the folded text (`letters.folded`), so case, spaces and punctuation do not
count; a text of less than five letters is one gram. Everything is numpy on whole columns: a
post's grams cost well under a microsecond this way and twelve as a Python set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from converters.extras import require
from converters.prepare.letters import folded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

GRAM = 5
"""Characters: the project's packs were compared by these (shared data, "Cleaning")."""
_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio, as in Fibonacci hashing
_PAIRS_AT_ONCE = 10_000
"""Their sets as Python objects take about 5 kB a short text."""


def grams(texts: Iterable[str]) -> tuple[Array, Array]:
    """The hashed grams of all texts in one row (uint64), and where each text's begin.

    The second array has one number more than there are texts. A gram may occur more than once.
    """
    require("data", "numpy")
    import numpy as np

    bare = [folded(text) or "\0" for text in texts]
    lengths = np.fromiter(map(len, bare), np.int64, len(bare))
    raw = "".join(bare).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(raw, np.uint32).astype(np.uint64)
    counts = np.maximum(lengths - (GRAM - 1), 1)
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    hashes = _rolled(codes)
    first = np.cumsum(lengths) - lengths
    found = hashes[_ragged(first, counts)]
    short = np.flatnonzero(lengths < GRAM)
    if short.size:  # the gram would run into the next text
        found[starts[short]] = _short([bare[number] for number in short.tolist()])
    return found, starts


def _rolled(codes: Array) -> Array:
    """A hash of the five characters from each place on."""
    import numpy as np

    padded = np.concatenate((codes, np.zeros(GRAM, np.uint64)))
    multiplier = np.uint64(_MULTIPLIER)
    value = np.zeros(codes.size, np.uint64)
    for at in range(GRAM):
        value = (value ^ padded[at : at + codes.size]) * multiplier
        value ^= value >> np.uint64(29)
    return value


def _short(texts: Sequence[str]) -> Array:
    """Hashes of texts that are shorter than a gram; never those of a gram with these letters."""
    import numpy as np

    codes = np.zeros((len(texts), GRAM), np.uint64)
    for row, text in enumerate(texts):
        codes[row, : len(text)] = [ord(character) for character in text]
    value = np.zeros(len(texts), np.uint64)
    for at in range(GRAM):
        value = (value ^ codes[:, at]) * np.uint64(_MULTIPLIER)
        value ^= value >> np.uint64(29)
    return value


def _ragged(first: Array, counts: Array) -> Array:
    """The numbers first, first + 1, ... of each row, one row after another."""
    import numpy as np

    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    numbers: Array = np.arange(total, dtype=np.int64) + np.repeat(first - (ends - counts), counts)
    return numbers


class GramSets:
    """The sets of grams of some texts, for comparing pairs of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._values, starts = grams(texts)
        self._starts: list[int] = starts.tolist()

    def jaccard(self, left: Array, right: Array) -> Array:
        """The similarity of the texts number left[i] and right[i], 0 to 1 (float64)."""
        import numpy as np

        parts = [
            self._compare(left[at : at + _PAIRS_AT_ONCE], right[at : at + _PAIRS_AT_ONCE])
            for at in range(0, len(left), _PAIRS_AT_ONCE)
        ]
        return np.array([value for part in parts for value in part], np.float64)

    def _compare(self, left: Array, right: Array) -> list[float]:
        # Sets of Python's own: sorting the grams of 58,000 texts and 73,000 pairs with numpy took
        # 4.8 s, this takes 0.4 s.
        pairs = list(zip(left.tolist(), right.tolist(), strict=True))
        sets = {number: self._set(number) for number in {*left.tolist(), *right.tolist()}}
        found = []
        for one, other in pairs:
            common = len(sets[one] & sets[other])
            found.append(common / (len(sets[one]) + len(sets[other]) - common))
        return found

    def _set(self, number: int) -> frozenset[int]:
        return frozenset(self._values[self._starts[number] : self._starts[number + 1]].tolist())
