"""The dataset's files: train, validation and test, as JSON Lines and as Parquet.

The records come in their final order, as lines of JSON. The bytes of both files depend on the
lines alone: row groups have a fixed size, and no file holds a time or a path. What the card and
the manifest say about the records is counted on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from converters.prepare.recipe import SPLITS
from converters.provenance import replacing

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 32_768
"""Records: some megabytes, so that a reader can take them one by one."""
SAMPLES = 20
FILES = tuple(f"{split}.{ending}" for split in SPLITS for ending in ("jsonl", "parquet"))


@dataclass
class Census:
    """How many records there are of each kind."""

    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By source and licence."""
    languages: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By split and levels, joined by commas."""
    weak: int = 0
    rules: int = 0
    samples: list[str] = field(default_factory=list)
    """The first lines: they lie in the order of hashes, so they are chosen by nothing."""


def write_splits(batches: Iterable[Any], folder: Path) -> Census:
    """Write all files into a folder, from Arrow batches of split and line in their final order."""
    census = Census()
    writers: dict[int, _SplitWriter] = {}
    with ExitStack() as stack:
        for number, split in enumerate(SPLITS):
            writers[number] = stack.enter_context(_SplitWriter(folder, split, census))
        for batch in batches:
            splits = batch.column(0).to_numpy()
            lines = batch.column(1)
            start = 0
            while start < len(splits):
                stop = _run_end(splits, start)
                writers[int(splits[start])].take(lines.slice(start, stop - start))
                start = stop
    return census


def _run_end(splits: Any, start: int) -> int:
    """Where the run of equal splits that begins at `start` ends; the splits are sorted."""
    return int(splits.searchsorted(splits[start], side="right"))


class _SplitWriter:
    """The two files of one split."""

    def __init__(self, folder: Path, split: str, census: Census) -> None:
        self._folder = folder
        self._split = split
        self._census = census
        self._lines: list[pa.Array] = []
        self._held = 0
        self._stack = ExitStack()

    def __enter__(self) -> _SplitWriter:
        import pyarrow.parquet as pq

        jsonl = self._stack.enter_context(replacing(self._folder / f"{self._split}.jsonl"))
        parquet = self._stack.enter_context(replacing(self._folder / f"{self._split}.parquet"))
        self._jsonl = self._stack.enter_context(jsonl.open("wb"))
        self._parquet = self._stack.enter_context(
            pq.ParquetWriter(
                parquet,
                record_schema(),
                version="2.6",
                compression="zstd",
                compression_level=3,
                use_dictionary=["labels", "lang", "source", "licence", "kind"],
                write_page_index=False,
            )
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._held:
            self._write(self._joined())
        self._stack.__exit__(kind, error, trace)

    def take(self, lines: pa.Array) -> None:
        """Take the next lines of the split."""
        self._lines.append(lines)
        self._held += len(lines)
        if self._held < ROW_GROUP:
            return
        joined = self._joined()
        whole = len(joined) // ROW_GROUP * ROW_GROUP
        for at in range(0, whole, ROW_GROUP):
            self._write(joined.slice(at, ROW_GROUP))
        self._lines = [joined.slice(whole)]
        self._held = len(joined) - whole

    def _joined(self) -> pa.Array:
        import pyarrow as pa

        # 64-bit offsets: a batch of long texts may have more than 2 GiB of them.
        return pa.concat_arrays([lines.cast(pa.large_string()) for lines in self._lines])

    def _write(self, lines: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        # The characters of such an array lie in one row: they are the file's bytes.
        data = pc.binary_join_element_wise(
            lines, pa.scalar("", pa.large_string()), pa.scalar("\n", pa.large_string())
        ).buffers()[2]
        self._jsonl.write(data)
        table = _parsed(data)
        self._parquet.write_table(table, row_group_size=ROW_GROUP)
        self._count(table)
        census = self._census
        census.samples += lines.slice(0, SAMPLES - len(census.samples)).to_pylist()

    def _count(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        census = self._census
        census.splits[self._split] += table.num_rows
        pairs = table.group_by(["source", "licence"]).aggregate([([], "count_all")])
        for row in pairs.to_pylist():
            census.sources[row["source"], row["licence"]] += row["count_all"]
        for row in table["lang"].value_counts().to_pylist():
            census.languages[row["values"]] += row["counts"]
        for row in pc.binary_join(table["labels"], ",").value_counts().to_pylist():
            census.labels[self._split, row["values"]] += row["counts"]
        census.weak += pc.sum(table["weak"]).as_py() or 0
        census.rules += pc.sum(pc.greater(pc.list_value_length(table["rules"]), 0)).as_py() or 0


def record_schema() -> pa.Schema:
    """The columns of a record (`converters.records.RecordRow`), as Arrow types."""
    import pyarrow as pa

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("context", pa.list_(turn)),
            ("labels", pa.list_(pa.string())),
            ("rules", pa.list_(pa.string())),
            *((name, pa.string()) for name in ("lang", "source", "licence", "thread", "kind")),
            ("weak", pa.bool_()),
            ("score", pa.float64()),
            ("weight", pa.float64()),
        ]
    )


def _parsed(data: pa.Buffer) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as pj

    return pj.read_json(
        pa.BufferReader(data),
        # One block: where it would be cut depends on nothing that matters, but costs.
        read_options=pj.ReadOptions(use_threads=False, block_size=data.size + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=record_schema(), unexpected_field_behavior="error"
        ),
    )
