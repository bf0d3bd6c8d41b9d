"""How many rows the sources have, without preparing them."""

from __future__ import annotations

from pathlib import Path

from converters.errors import DataError
from converters.prepare.inputs import InputFile
from converters.prepare.packed import BROKEN, opened
from converters.prepare.reading import LINES, PACKED, Slice, form_of, rows_of

_BLOCK = 2**22


def count_rows(file: InputFile) -> int:
    """The rows of a file: lines, or rows of a table. Raises DataError."""
    path = Path(file.path)
    form = form_of(path.name)
    if form == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.ParquetFile(path).metadata.num_rows)
    if form not in (*LINES, *PACKED):
        return sum(1 for _ in rows_of(Slice(str(path), form, 0, -1, 1, str(path)), dict))
    lines = 0
    last = b"\n"
    try:
        with opened(path) if form in PACKED else path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                lines += block.count(b"\n")
                last = block[-1:]
    except BROKEN as error:
        raise DataError(f"{path}, after line {lines}: {error}.") from error
    return lines + (last != b"\n")
