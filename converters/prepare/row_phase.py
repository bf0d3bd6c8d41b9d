"""The row phase: one slice of an input file through the row steps, into one partition.

A partition is a Parquet file in the work folder. It holds each kept record as its line of JSON
(the form of `converters.records`), and beside it what the global steps compare: no global step
needs a record's columns, and JSON is the form that costs least to carry. What was dropped and
scrubbed is counted in the file's metadata, so that a partition is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from converters.errors import DataError
from converters.prepare.draft import ByText, Draft, RowStep
from converters.prepare.line import line_of, stratum_of
from converters.prepare.pipeline import Pipeline
from converters.prepare.reading import Slice, rows_of
from converters.prepare.sources.base import UNREADABLE, BadRow, Source
from converters.provenance import replacing

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = b"oa-chat"
"""The key of the counts in a partition's metadata."""
BATCH = 4096
"""Drafts at a time: a few megabytes, and large enough for arrays to pay."""
_SHOWN = 5
"""So many bad rows of a partition are named; the rest is counted."""
_MASK = 2**62 - 1


class RowTask(msgspec.Struct, frozen=True):
    """A slice to be prepared."""

    number: int
    """The place of the partition among all: the upper half of its records' numbers."""
    source: int
    piece: Slice
    out: str


class Counts(msgspec.Struct):
    """What happened to a partition's rows."""

    read: int = 0
    kept: int = 0
    drops: dict[str, dict[str, int]] = {}
    """Step, then reason."""
    notes: dict[str, int] = {}
    """What was scrubbed."""
    bad: list[str] = []
    """The first bad rows, with their places."""


@dataclass(frozen=True)
class RowWork:
    """What a worker does in the row phase."""

    pipeline: Pipeline

    def __call__(self, task: str) -> str:
        """Write the partition of a `RowTask`; the answer is its `Counts`."""
        todo = msgspec.json.decode(task, type=RowTask)
        counts = _Partition(self.pipeline, self._source(todo.source), self._steps, todo).write()
        return msgspec.json.encode(counts).decode()

    @cached_property
    def _steps(self) -> list[RowStep]:
        return self.pipeline.make_steps()

    @cached_property
    def _sources(self) -> dict[int, Source]:
        return {}

    def _source(self, number: int) -> Source:
        if number not in self._sources:
            self._sources[number] = self.pipeline.make_source(number)
        return self._sources[number]

    def __getstate__(self) -> dict[str, Any]:
        return {"pipeline": self.pipeline}


@dataclass
class _Partition:
    pipeline: Pipeline
    source: Source
    steps: Sequence[RowStep]
    task: RowTask
    counts: Counts = field(default_factory=Counts)
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def write(self) -> Counts:
        import pyarrow.parquet as pq

        out = Path(self.task.out)
        with replacing(out) as part:
            schema = _schema(self.pipeline.bands)
            # Bands are random bits, which only cost time to pack.
            packing = {name: "ZSTD" if name == "line" else "NONE" for name in schema.names}
            with pq.ParquetWriter(
                part,
                schema,
                compression=packing,
                compression_level={"line": 1},
                use_dictionary=False,
                write_statistics=False,
            ) as writer:
                drafts = self._drafts()
                while batch := list(islice(drafts, BATCH)):
                    kept = self._kept(batch)
                    if kept:
                        writer.write_batch(self._columns(kept))
                for (step, reason), count in sorted(self.drops.items()):
                    self.counts.drops.setdefault(step, {})[reason] = count
                self.counts.notes = dict(sorted(self.notes.items()))
                writer.add_key_value_metadata({COUNTS: msgspec.json.encode(self.counts)})
        return self.counts

    def _drafts(self) -> Iterator[Draft]:
        piece = self.task.piece
        good = self._good(rows_of(piece, self.source.row_type))
        for made in self.source.drafts(good, piece.stem):
            if isinstance(made, BadRow):
                self._bad(made)
            else:
                self.counts.read += 1
                yield made

    def _good(self, rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            if isinstance(row, BadRow):
                self.counts.read += 1
                self._bad(row)
            else:
                yield row

    def _bad(self, row: BadRow) -> None:
        place = f"{self.task.piece.shown}, line {row.number}: {row.why}"
        if self.pipeline.recipe.bad_rows == "fail":
            raise DataError(
                f"{place}.",
                'Mend that row, or count such rows as dropped: bad_rows = "drop" in the recipe.',
            )
        self.drops["read", UNREADABLE] += 1
        if len(self.counts.bad) < _SHOWN:
            shown = f"{Path(self.task.piece.shown).name}, line {row.number}: {row.why}"
            self.counts.bad.append(shown[:300])

    def _kept(self, batch: list[Draft]) -> list[Draft]:
        kept = []
        for draft in batch:
            if draft.text and not draft.text.isspace():
                kept.append(draft)
            else:
                self.drops["read", "no text"] += 1
        for step in self.steps:
            kept = self._through(step, kept)
        notes = self.notes
        for draft in kept:
            for note, count in draft.notes.items():
                notes[note] += count
        return kept

    def _through(self, step: RowStep, drafts: list[Draft]) -> list[Draft]:
        if isinstance(step, ByText):
            reasons = step.apply_all(drafts)
        else:
            apply = step.apply
            reasons = [apply(draft) for draft in drafts]
        if not any(reasons):
            return drafts
        name = step.name
        self.drops.update((name, reason) for reason in reasons if reason)
        return [draft for draft, why in zip(drafts, reasons, strict=True) if not why]

    def _columns(self, drafts: list[Draft]) -> pa.RecordBatch:
        """The batch as columns, in the order of `_schema`."""
        import numpy as np
        import pyarrow as pa

        lines = [line_of(draft) for draft in drafts]
        keys = np.frombuffer(b"".join(_hashes(lines)), "<u8")
        quality = np.array([draft.quality for draft in drafts], np.uint64)
        rank = ((3 - quality) << np.uint64(62)) | (keys & np.uint64(_MASK))
        start = (self.task.number << 32) + self.counts.kept
        numbers = np.arange(start, start + len(drafts), dtype=np.uint64)
        threads = np.frombuffer(b"".join(_hashes([_utf8(d.thread) for d in drafts])), "<u8")
        strata = pa.array([stratum_of(draft) for draft in drafts]).dictionary_encode()
        columns: list[Any] = [numbers, keys, rank, threads, strata.cast(pa.string())]
        columns.append(np.full(len(drafts), self.pipeline.pin(self.task.source), np.int8))
        columns += self._compared(drafts)
        columns.append(pa.array(lines, pa.binary()).cast(pa.string()))
        self.counts.kept += len(drafts)
        return pa.record_batch(
            [pa.array(column) if isinstance(column, np.ndarray) else column for column in columns],
            schema=_schema(self.pipeline.bands),
        )

    def _compared(self, drafts: list[Draft]) -> list[Any]:
        """Fingerprints as two halves, then the bands."""
        import numpy as np

        from converters.prepare.exact import fingerprint

        prints = b"".join([fingerprint(draft.text, draft.context) for draft in drafts])
        halves = np.frombuffer(prints, "<u8").reshape(len(drafts), 2)
        columns = [np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])]
        if self.pipeline.bands:
            columns += self.pipeline.band_columns(drafts)
        return columns


def _schema(bands: int) -> pa.Schema:
    import pyarrow as pa

    names = ["number", "key", "rank", "thread_key"]
    fields = [pa.field(name, pa.uint64()) for name in names]
    fields += [pa.field("stratum", pa.string()), pa.field("pin", pa.int8())]
    fields += [pa.field(name, pa.uint64()) for name in ("print_a", "print_b")]
    fields += [pa.field(f"band{band}", pa.uint64()) for band in range(bands)]
    return pa.schema([*fields, pa.field("line", pa.string())])


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hashes(values: Iterable[bytes]) -> list[bytes]:
    blake2b = hashlib.blake2b
    return [blake2b(value, digest_size=8).digest() for value in values]


def counts_of(partition: Path) -> Counts:
    """The counts of a finished partition."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(partition).metadata
    return msgspec.json.decode(metadata[COUNTS], type=Counts)
