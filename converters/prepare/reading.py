"""Rows of one slice of an input file, good and bad ones apart.

`converters.rows` stops at the first row that cannot be read; a preparation of millions of rows
counts them and goes on, if the recipe says so. A slice of lines is read by its byte range, so
several workers share one file; it must lie on line ends (`converters.prepare.inputs` sees to it).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import DataError
from converters.extras import require
from converters.prepare.sources.base import BadRow, NumberedRow

LINES = (".jsonl", ".ndjson")
PACKED = (".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst", ".zst")
TABLES = (".json", ".csv", ".tsv", ".parquet")

LONGEST_LINE = 8 * 2**20
"""Bytes. Reddit's longest text has 40,000 characters; a longer line is no record."""
_BLOCK = 2**20
_CAN_NOT = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)


class Slice(msgspec.Struct, frozen=True):
    """A piece of an input file that one worker reads."""

    path: str
    """Where it lies; for a packed file, a block of it that was unpacked."""
    form: str
    """The file's ending, which says how to read it."""
    start: int
    """Lines: the first byte. Parquet: the first row group. Else 0."""
    stop: int
    """Lines: the byte after the last. Parquet: the row group after the last. Else -1: the end."""
    first: int
    """The number of its first line or row, from 1."""
    shown: str
    """The file as people know it."""

    @property
    def stem(self) -> str:
        """The shown file's name without its endings."""
        return stem_of(self.shown)


def stem_of(name: str) -> str:
    """A file's name without folder and endings."""
    name = Path(name).name
    form = form_of(name)
    return name[: -len(form)] if form else name


def form_of(name: str) -> str:
    """The ending of a file that can be read, or an empty string."""
    lower = name.lower()
    return next((form for form in (*PACKED, *LINES, *TABLES) if lower.endswith(form)), "")


def rows_of(piece: Slice, row_type: Any) -> Iterator[NumberedRow | BadRow]:
    """The rows of a slice with their numbers. Raises DataError if the file itself is unfit."""
    try:
        if piece.form == ".parquet":
            yield from _parquet(piece, row_type)
        elif piece.form == ".json":
            yield from _json(piece, row_type)
        elif piece.form in (".csv", ".tsv"):
            yield from _csv(piece, row_type)
        else:
            yield from _lines(piece, row_type)
    except OSError as error:
        raise DataError(f"{piece.shown} cannot be read: {error.strerror or error}.") from error


def _lines(piece: Slice, row_type: Any) -> Iterator[NumberedRow | BadRow]:
    decode = msgspec.json.Decoder(row_type).decode
    for number, line in enumerate(lines_of(Path(piece.path), piece.start, piece.stop), piece.first):
        if line is None:
            yield BadRow(number, f"longer than {LONGEST_LINE} bytes")
        elif line.strip():
            try:
                yield number, decode(line)
            except _CAN_NOT:
                yield _forgiving(number, line, row_type)


def lines_of(path: Path, start: int, stop: int) -> Iterator[bytes | None]:
    """The lines of a byte range; None stands for one that is too long to be held."""
    with path.open("rb") as stream:
        stream.seek(start)
        left = stop - start
        rest = b""
        too_long = False
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            left -= len(block)
            lines = block.split(b"\n")
            if len(lines) == 1 and (too_long or len(rest) + len(block) > LONGEST_LINE):
                too_long, rest = True, b""
                continue
            lines[0] = rest + lines[0]
            rest = lines.pop()
            if lines and too_long:
                yield None
                too_long = False
                del lines[0]
            yield from lines
        if too_long or rest:
            yield None if too_long else rest


def _forgiving(number: int, line: bytes, row_type: Any) -> NumberedRow | BadRow:
    """The row once more, without its nulls: dumps write null for what is not there."""
    try:
        row = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any])
    except _CAN_NOT as error:
        return BadRow(number, f"no JSON object: {error}")
    return _converted(number, row, row_type)


def _converted(
    number: int, row: dict[str, Any], row_type: Any, *, strict: bool = True
) -> NumberedRow | BadRow:
    if row_type is not dict[str, Any]:
        row = {key: value for key, value in row.items() if value is not None}
    try:
        return number, msgspec.convert(row, row_type, strict=strict)
    except _CAN_NOT as error:
        return BadRow(number, str(error))


def _json(piece: Slice, row_type: Any) -> Iterator[NumberedRow | BadRow]:
    try:
        rows = msgspec.json.decode(Path(piece.path).read_bytes(), type=list[dict[str, Any]])
    except _CAN_NOT as error:
        raise DataError(f"{piece.shown}: no JSON array of objects: {error}.") from error
    for number, row in enumerate(rows, start=1):
        yield _converted(number, row, row_type)


def _csv(piece: Slice, row_type: Any) -> Iterator[NumberedRow | BadRow]:
    delimiter = "\t" if piece.form == ".tsv" else ","
    # Bytes that are not UTF-8 become lone surrogates, by which their row is known.
    with Path(piece.path).open(
        encoding="utf-8-sig", errors="surrogateescape", newline=""
    ) as stream:
        reader = csv.DictReader(stream, delimiter=delimiter)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield BadRow(reader.line_num, str(error))
                continue
            if row is None:
                return
            if None in row or None in row.values():
                yield BadRow(reader.line_num, "not as many cells as the header has")
            elif not all(map(_is_utf8, row.values())):
                yield BadRow(reader.line_num, "not UTF-8")
            else:
                yield _converted(reader.line_num, row, row_type, strict=False)


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _parquet(piece: Slice, row_type: Any) -> Iterator[NumberedRow | BadRow]:
    require("data", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = piece.first - 1
    try:
        with pq.ParquetFile(piece.path) as table:
            groups = list(range(piece.start, piece.stop))
            for batch in table.iter_batches(row_groups=groups, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield _converted(number, row, row_type)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{piece.shown}, after row {number}: no Parquet that can be read: {error}."
        ) from error
