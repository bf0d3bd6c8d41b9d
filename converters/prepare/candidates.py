"""The two halves of finding near duplicates that workers do: candidates by band, and comparing.

`converters.prepare.near` knows what is near; here it is asked piece by piece. A band's task reads
one column of all partitions, so bands can be looked at on different machines. A comparison's task
holds whole groups of candidates with their texts, so that who stays is decided in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from converters.prepare.draft import Draft
from converters.provenance import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]


class BandTask(msgspec.Struct, frozen=True):
    """A band of all partitions."""

    band: int
    partitions: list[str]
    gone: str
    """Numbers of records that went before (.npy, sorted)."""
    out: str


class BandWork:
    """Finds pairs of records with an equal key in a band."""

    def __call__(self, task: str) -> str:
        """Write the pairs as places among the records that are still there."""
        import pyarrow.parquet as pq

        from converters.prepare.near import bucket_pairs

        todo = msgspec.json.decode(task, type=BandTask)
        gone = np.load(todo.gone)
        kept = []
        for path in todo.partitions:
            table = pq.read_table(path, columns=["number", f"band{todo.band}"])
            stays = remaining(table["number"].to_numpy(), gone)
            kept.append(table[f"band{todo.band}"].to_numpy()[stays])
        save(Path(todo.out), bucket_pairs(np.concatenate(kept)))
        return "{}"


class VerifyTask(msgspec.Struct, frozen=True):
    """Groups of candidates with their texts."""

    texts: str
    """Parquet: number, place, rank, line; sorted by place."""
    pairs: str
    """.npy: pairs of places."""
    out: str


class _Said(msgspec.Struct):
    """What of a record is compared."""

    text: str
    context: list[dict[str, str]]


class VerifyWork:
    """Compares candidates exactly and says who goes."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def __call__(self, task: str) -> str:
        """Write the numbers of the records that go."""
        import pyarrow.parquet as pq

        from converters.prepare.near import Messages, losers

        todo = msgspec.json.decode(task, type=VerifyTask)
        table = pq.read_table(todo.texts)
        decode = msgspec.json.Decoder(_Said).decode
        said = [decode(line) for line in table["line"].to_pylist()]
        before = [one.context[-1]["content"] if one.context else "" for one in said]
        messages = Messages([one.text for one in said], before if any(before) else ())
        pairs = np.searchsorted(table["place"].to_numpy(), np.load(todo.pairs))
        found = losers(messages, pairs, table["rank"].to_numpy(), self._threshold)
        save(Path(todo.out), table["number"].to_numpy()[found.number])
        return "{}"


def band_columns(drafts: Sequence[Draft]) -> list[Any]:
    """The keys of the drafts' texts, band by band."""
    from converters.prepare.near import band_keys

    before = [draft.context[-1][1] if draft.context else "" for draft in drafts]
    keys = band_keys([draft.text for draft in drafts], before)
    return [np.ascontiguousarray(keys[:, band]) for band in range(keys.shape[1])]


def remaining(numbers: U64, gone: U64) -> NDArray[np.bool_]:
    """Which of the numbers are not among the sorted `gone` ones."""
    if not len(gone):
        return np.ones(len(numbers), bool)
    at = np.minimum(np.searchsorted(gone, numbers), len(gone) - 1)
    return np.asarray(gone[at] != numbers)


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy, whole or not at all."""
    with replacing(path) as part, part.open("wb") as stream:
        np.save(stream, array)
