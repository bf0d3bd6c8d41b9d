"""Decontamination: finds records that are, or are nearly, a row of a named evaluation set.

A message counts as known when its folded text is that of a row (exact), or when the Jaccard
similarity of their character 5-grams reaches a threshold (near). Nothing is estimated: two texts
that near share one of the rarest grams of each (prefix filtering: Chaudhuri, Ganti, Kaushik, ICDE
2006), so only such rows are compared. The turns before a message do not count: a question
of a test set is known in any conversation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from converters.extras import require
from converters.prepare.letters import folded
from converters.prepare.near import THRESHOLD
from converters.prepare.shingles import grams

_TEXTS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Known:
    """The evaluation row that a text is too near to."""

    set: str
    row: int
    """From 1."""
    similarity: float
    """1 for an exact match."""
    exact: bool

    @property
    def reason(self) -> str:
        """Why the record is dropped; the same for all rows of a set."""
        return f"{'in' if self.exact else 'near'} {self.set}"

    @property
    def place(self) -> str:
        """The reason with the row."""
        return f"{self.reason}, row {self.row}"


@dataclass(frozen=True, slots=True)
class _Row:
    set: str
    number: int
    grams: frozenset[int]


class EvaluationSets:
    """Rows to keep out of a dataset, ready to be looked for."""

    def __init__(
        self, sets: Mapping[str, Iterable[tuple[int, str]]], threshold: float = THRESHOLD
    ) -> None:
        """`sets` gives each named set's rows: number, from 1, and message."""
        require("data", "pyarrow")
        self._threshold = threshold
        flat = [(name, number, text) for name, rows in sets.items() for number, text in rows]
        self._rows = [
            _Row(name, number, found)
            for (name, number, _), found in zip(
                flat, _gram_sets([text for _, _, text in flat]), strict=True
            )
        ]
        self._sizes = [len(row.grams) for row in self._rows]
        self._exact: dict[str, int] = {}
        for at, (_, _, text) in enumerate(flat):
            self._exact.setdefault(folded(text), at)
        frequency = Counter(gram for row in self._rows for gram in row.grams)
        ordered = sorted(frequency, key=lambda gram: (frequency[gram], gram))
        self._rank = {gram: rank for rank, gram in enumerate(ordered)}
        self._index = self._index_of_rarest()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, text: str) -> Known | None:
        """The row that a text is, or is nearest to; None if it is near none."""
        return self.find_all([text])[0]

    def find_all(self, texts: Sequence[str]) -> list[Known | None]:
        """As `find` for each text, much quicker for many."""
        answers: list[Known | None] = []
        for at in range(0, len(texts), _TEXTS_AT_ONCE):
            answers += self._find_all(texts[at : at + _TEXTS_AT_ONCE])
        return answers

    def _find_all(self, texts: Sequence[str]) -> list[Known | None]:
        answers = [self._find_exact(text) for text in texts]
        if self._rows:
            for number, own in enumerate(_gram_sets(texts)):
                if answers[number] is None:
                    answers[number] = self._find_near(own)
        return answers

    def _find_exact(self, text: str) -> Known | None:
        at = self._exact.get(folded(text))
        return None if at is None else Known(self._rows[at].set, self._rows[at].number, 1.0, True)

    def _find_near(self, own: frozenset[int]) -> Known | None:
        """The nearest row; of equally near ones the first."""
        least, most = self._least(own), len(own) / self._threshold + 1e-9
        best, nearest = self._threshold, -1
        for at in sorted({at for rank in self._rarest(own) for at in self._index.get(rank, ())}):
            if not least <= self._sizes[at] <= most:
                continue
            other = self._rows[at].grams
            common = len(own & other)
            similarity = common / (len(own) + len(other) - common)
            if similarity > best or (nearest < 0 and similarity >= best):
                best, nearest = similarity, at
        if nearest < 0:
            return None
        return Known(self._rows[nearest].set, self._rows[nearest].number, best, False)

    def _least(self, own: frozenset[int]) -> int:
        """How many grams a near text has in common with this one at least."""
        return ceil(self._threshold * len(own) - 1e-9)  # 0.7 * 10 is a little more than 7

    def _rarest(self, own: frozenset[int]) -> list[int]:
        """The ranks of so many of the rarest grams that a near text has one among its own such.

        Grams that no row has are the rarest of all, and lead nowhere: most texts end with these.
        """
        rank = self._rank
        known = [rank[gram] for gram in own if gram in rank]
        wanted = len(known) - self._least(own) + 1
        if wanted <= 0:
            return []
        known.sort()
        return known[:wanted]

    def _index_of_rarest(self) -> dict[int, list[int]]:
        index: dict[int, list[int]] = {}
        for at, row in enumerate(self._rows):
            for rank in self._rarest(row.grams):
                index.setdefault(rank, []).append(at)
        return index


def _gram_sets(texts: Sequence[str]) -> Iterator[frozenset[int]]:
    found, starts = grams(texts)
    for start, end in pairwise(starts.tolist()):
        yield frozenset(found[start:end].tolist())
