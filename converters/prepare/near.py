"""Near duplicates: finds posts that are nearly the same, and says which of them stays.

Two records are near duplicates when the Jaccard similarity of their messages' character 5-grams is
at least a threshold, and the turns before them (if any) are as near. MinHash (rensa's RMinHash, an
R-MinHash after Dahlgaard, Knudsen and Thorup, arXiv 1704.04370) with bands proposes pairs; every
pair is then compared exactly, so that a record is only ever dropped for one that stays and is
nearer than the threshold.

Three steps, for data in parts: `band_keys` of each part, `bucket_pairs` over a column of the keys
of all parts, `losers` for the pairs of all columns, where the texts are; `near_duplicates` does all
three in memory. Cost grows linearly: a record is compared with the first of its bucket and with the
one before it, and in a group of near records with the best; never with everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converters.extras import require
from converters.prepare.shingles import GramSets, grams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

THRESHOLD = 0.7
BANDS = 16
ROWS = 4
"""Hashes in a band. A pair of similarity s meets in some band with 1 - (1 - s^4)^16: 0.988 at 0.7,
0.9998 at 0.8; at 0.3 one pair in eight is compared in vain."""
_SEED = 20
_AT_ONCE = 20_000
"""Texts: more save no time, and their signatures as Python numbers take memory."""
_ROUNDS = 64
"""How many records of one group may stay. A longer chain of texts, each near the next only, is a
template with a blank in it: what is left of it then goes."""
_MIX = 0xFF51AFD7ED558CCD  # MurmurHash3's finaliser


def signature_version() -> str:
    """Changes when the keys of the same text change; for keys of resumable runs."""
    require("data", "rensa")
    import rensa

    return f"rminhash{rensa.RMinHash.ALGORITHM_VERSION}-{BANDS}x{ROWS}-{_SEED}"


def band_keys(texts: Sequence[str], before: Sequence[str] = ()) -> Array:
    """One row a text: BANDS keys (uint64). Texts with an equal key in a column may be near.

    `before` is the turn before each, "" for none; it takes part in the keys, or "yes" to all kinds
    of questions would fill one bucket. The same in every process and on every machine: nothing is
    seeded by the run.
    """
    require("data", "pyarrow", "rensa")
    import numpy as np

    keys = np.zeros((len(texts), BANDS), np.uint64)
    for at in range(0, len(texts), _AT_ONCE):
        keys[at : at + _AT_ONCE] = _keys(texts[at : at + _AT_ONCE], ROWS)
    answers = [number for number, turn in enumerate(before) if turn]
    for at in range(0, len(answers), _AT_ONCE):
        numbers = answers[at : at + _AT_ONCE]
        keys[numbers] ^= _keys([before[number] for number in numbers], 1)
    return keys


def _keys(texts: Sequence[str], rows: int) -> Array:
    """Keys of so many hashes each."""
    import numpy as np
    from rensa import RMinHash

    found, starts = grams(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        found, starts.astype(np.uint64), num_perm=BANDS * rows, seed=_SEED
    )
    hashes = np.array(matrix.to_rows(), np.uint64).reshape(len(texts), BANDS, rows)
    keys = np.zeros((len(texts), BANDS), np.uint64)
    for row in range(rows):
        keys = (keys ^ hashes[:, :, row]) * np.uint64(_MIX)
        keys ^= keys >> np.uint64(33)
    return keys


@dataclass(frozen=True, slots=True)
class Messages:
    """The column of messages, and what the turn before each was ("" for none)."""

    texts: Sequence[str]
    before: Sequence[str] = ()
    """Empty if no message has any."""


@dataclass(frozen=True, slots=True)
class Losers:
    """Which records go. Three columns of one length, ordered by the first."""

    number: Array
    """Whom to drop (int64)."""
    kept: Array
    """The record that stays in its place (int64)."""
    similarity: Array
    """How near they are, from the threshold to 1 (float64)."""


def preference(quality: int, rules: int, identity: str) -> tuple[int, int, str]:
    """What to sort by so that the best of near records comes first.

    That is the better labelled one, then the one with more rules, then the one with the least id.
    """
    return (-quality, -rules, identity)


def bucket_pairs(keys: Array) -> Array:
    """Pairs of rows (int64, two columns, smaller first) with an equal key: one column of band keys.

    At most two pairs a row: with the first of its bucket, and with the one before it.
    """
    import numpy as np

    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    opens = np.ones(keys.size, bool)
    opens[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(opens, np.arange(keys.size), 0))
    later = np.flatnonzero(~opens)
    with_first = np.stack((order[first[later]], order[later]), axis=1)
    third = later[first[later] != later - 1]
    return np.concatenate((with_first, np.stack((order[third - 1], order[third]), axis=1)))


def joined_pairs(columns: Iterable[Array]) -> Array:
    """The pairs of several bands, each once, in order."""
    import numpy as np

    pairs = [column.astype(np.uint64) for column in columns]
    coded = [(column[:, 0] << np.uint64(32)) | column[:, 1] for column in pairs]
    once = np.unique(np.concatenate(coded)) if coded else np.zeros(0, np.uint64)
    low = once & np.uint64(0xFFFFFFFF)
    return np.stack((once >> np.uint64(32), low), axis=1).astype(np.int64)


def losers(messages: Messages, pairs: Array, rank: Array, threshold: float = THRESHOLD) -> Losers:
    """Who goes, given pairs that may be near. `rank` orders the records, the best has the least.

    Records linked by near pairs are a group. Its best stays and sends away who is near it; of the
    rest the best stays, and so on: whoever goes is near somebody who stays.
    """
    import numpy as np

    numbers, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    compare = _Comparer(messages, numbers, threshold)
    near = places[compare.near(places[:, 0], places[:, 1]) > 0]
    group = components(numbers.size, near)
    linked = np.unique(near)
    order = linked[np.lexsort((rank[numbers[linked]], group[linked]))]
    gone, kept, similarity = _by_rounds(order, group, compare)
    by_number = np.argsort(numbers[gone], kind="stable")
    return Losers(numbers[gone][by_number], numbers[kept][by_number], similarity[by_number])


def _by_rounds(order: Array, group: Array, compare: _Comparer) -> tuple[Array, Array, Array]:
    """Each round the first of every group stays and sends away who is near it."""
    import numpy as np

    gone, kept, similarity = [], [], []
    for number in range(_ROUNDS):
        if order.size < 2:
            break
        opens = np.ones(order.size, bool)
        opens[1:] = group[order[1:]] != group[order[:-1]]
        best = order[np.maximum.accumulate(np.where(opens, np.arange(order.size), 0))]
        best, rest = best[~opens], order[~opens]
        found = compare.near(best, rest)
        leaves = found > 0 if number < _ROUNDS - 1 else np.ones(rest.size, bool)
        gone.append(rest[leaves])
        kept.append(best[leaves])
        similarity.append(found[leaves])
        order = rest[~leaves]
    if not gone:
        nobody = np.zeros(0, np.int64)
        return nobody, nobody, np.zeros(0, np.float64)
    return np.concatenate(gone), np.concatenate(kept), np.concatenate(similarity)


def components(count: int, pairs: Array) -> Array:
    """The least number that each of `count` numbers is linked with by pairs (union-find)."""
    import numpy as np

    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for one, other in pairs.tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.array([root(number) for number in range(count)], np.int64)


def near_duplicates(
    messages: Messages, keys: Array, rank: Array, threshold: float = THRESHOLD
) -> Losers:
    """All three steps for records in memory; `keys` is what `band_keys` gives for the texts."""
    pairs = joined_pairs(bucket_pairs(keys[:, band]) for band in range(keys.shape[1]))
    return losers(messages, pairs, rank, threshold)


class _Comparer:
    """Compares records by their place in `numbers`."""

    def __init__(self, messages: Messages, numbers: Array, threshold: float) -> None:
        import numpy as np

        chosen = numbers.tolist()
        self._sets = GramSets([messages.texts[number] for number in chosen])
        before = [messages.before[number] for number in chosen] if messages.before else []
        self._has_before = np.array([bool(turn) for turn in before] or [False] * len(chosen), bool)
        self._before = GramSets(before) if self._has_before.any() else None
        self._threshold = threshold

    def near(self, left: Array, right: Array) -> Array:
        """The similarity of the pairs that are near, 0 for the others."""
        import numpy as np

        found = np.zeros(left.size, np.float64)
        at = np.flatnonzero(self._has_before[left] == self._has_before[right])
        # Most pairs that the bands propose are far from near, which the bound tells cheaply.
        at = at[self._sets.at_most(left[at], right[at]) >= self._threshold]
        found[at] = self._sets.jaccard(left[at], right[at])
        found[found < self._threshold] = 0.0
        if self._before is not None:
            at = np.flatnonzero((found > 0) & self._has_before[left])
            far = self._before.jaccard(left[at], right[at]) < self._threshold
            found[at[far]] = 0.0
        return found
