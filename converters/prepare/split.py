"""The split: which records are for training, for validation and for the test.

Whole threads are dealt out, so no conversation spans two splits. Within a stratum (source and
levels) threads are lined up by a hash of their id with the recipe's salt, and the shares are cut
off by counting records: the shares hold in every stratum that is large enough, the rest of a small
one is decided by the salt. Which worker read a record plays no part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from converters.prepare.recipe import SPLITS, SplitRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]
    I8 = NDArray[np.int8]

_STRONGEST_PIN = (SPLITS.index("test"), SPLITS.index("validation"), SPLITS.index("train"))
"""A thread that sources pin to several splits goes to the first of these."""


def split_of(
    threads: U64, strata: Sequence[str], stratum: NDArray[np.int32], pins: I8, recipe: SplitRecipe
) -> I8:
    """The split of each record, as its place in SPLITS.

    `threads` are hashes of the thread ids, `stratum` numbers into `strata`, `pins` the split that
    a record's source asks for, or -1.
    """
    ids, thread = np.unique(threads, return_inverse=True)
    size = np.bincount(thread, minlength=len(ids))
    salted = _salted(ids, recipe.salt)
    # A thread belongs to the first of its records' strata by name.
    order = np.array(sorted(range(len(strata)), key=strata.__getitem__), np.intp)
    place = np.empty(len(strata), np.int32)
    place[order] = np.arange(len(strata), dtype=np.int32)
    home = np.full(len(ids), len(strata), np.int32)
    np.minimum.at(home, thread, place[stratum])
    chosen = _pinned(thread, pins, len(ids))
    free = np.flatnonzero(chosen < 0)
    line = free[np.lexsort((ids[free], salted[free], home[free]))]
    names = [strata[number] for number in order]
    for members in np.split(line, np.flatnonzero(np.diff(home[line])) + 1):
        if len(members):
            chosen[members] = _dealt(size[members], names[home[members[0]]], recipe)
    return chosen[thread]


def _pinned(thread: NDArray[np.intp], pins: I8, count: int) -> I8:
    chosen = np.full(count, -1, np.int8)
    for split in reversed(_STRONGEST_PIN):
        chosen[thread[pins == split]] = split
    return chosen


def _dealt(sizes: NDArray[np.intp], stratum: str, recipe: SplitRecipe) -> I8:
    """The splits of a stratum's threads, which stand in the order of their salted hashes."""
    records = int(sizes.sum())
    middle = np.cumsum(sizes) - sizes / 2
    # Where a share is less than one record, the salt decides whether it gets one.
    chance = int.from_bytes(_digest(f"{recipe.salt}\n{stratum}")) / 2**64
    test = np.floor(records * recipe.test + chance)
    held = np.floor(records * (recipe.test + recipe.validation) + chance)
    chosen = np.full(len(sizes), SPLITS.index("train"), np.int8)
    chosen[middle < held] = SPLITS.index("validation")
    chosen[middle < test] = SPLITS.index("test")
    return chosen


def _salted(ids: U64, salt: str) -> U64:
    """Other numbers for the same ids, by splitmix64 (Steele et al. 2014), keyed by the salt."""
    key = np.uint64(int.from_bytes(_digest(salt)))
    with np.errstate(over="ignore"):
        mixed = (ids ^ key) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
