"""Reads files of rows whatever their form: JSON Lines (plain, gzip, zstd), JSON, CSV, Parquet.

Everything in the pipeline that takes a file of records reads it here. Rows are plain dicts; what
their columns mean is the caller's matter. Nothing is held in memory but the row at hand (a JSON
array excepted).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import DataError
from converters.extras import require
from converters.unpacking import Gap, unpack

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".json", ".csv", ".tsv", ".parquet")
_LONGEST_LINE = 64 * 2**20
"""Bytes. A longer line is no record, and would fill the memory."""


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows with their numbers (for a text file: line numbers), from 1.

    Raises DataError, naming file and line, for a file or a row that cannot be read.
    """
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(f"{path} is of no known kind.", f"Known endings: {', '.join(SUFFIXES)}.")
    try:
        if name.endswith(".parquet"):
            yield from _parquet(path)
        elif name.endswith((".csv", ".tsv")):
            yield from _csv(path, "\t" if name.endswith(".tsv") else ",")
        elif name.endswith(".json"):
            yield from _json(path)
        else:
            yield from _lines(path)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


class _Unpacked(io.RawIOBase):
    """A file's bytes, unpacked by its ending. Damage is a DataError, never an early end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events = unpack(path)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            match next(self._events, None):
                case None:
                    return 0
                case Gap(offset, reason):
                    raise DataError(f"{self._path}, byte {offset}: {reason}.")
                case bytes() as piece:
                    self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _lines(path: Path) -> Iterator[tuple[int, Row]]:
    decoder = msgspec.json.Decoder(Row)
    with io.BufferedReader(_Unpacked(path), 2**20) as stream:
        number = 0
        while line := stream.readline(_LONGEST_LINE + 1):
            number += 1
            if len(line) > _LONGEST_LINE:
                raise DataError(f"{path}, line {number}: longer than {_LONGEST_LINE} bytes.")
            if not line.strip():
                continue
            try:
                yield number, decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{path}, line {number}: no JSON object: {error}.") from error


def _json(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[Row])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no JSON array of objects: {error}.") from error
    yield from enumerate(rows, start=1)


def _csv(path: Path, delimiter: str) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter=delimiter)
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {reader.line_num}: not as many cells as the header has."
                )
            yield reader.line_num, row


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    require("data", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pa.ArrowException as error:
        raise DataError(f"{path} is no Parquet file that can be read: {error}.") from error
