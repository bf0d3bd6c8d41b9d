"""The forms that collected records are written in: JSON Lines, the same with zstd, Parquet."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import IO, Any, Literal, get_args

import msgspec

from converters.extras import require
from converters.scrape.posts import Post, row_of
from oa_chat.errors import UsageError

Format = Literal["jsonl", "jsonl.zst", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
_BLOCK = 2**20
_ROWS = 20_000
"""Rows of a Parquet row group: some 50 MB of posts at most."""


def format_of(out: Path, asked: Format | None = None) -> Format:
    """The format that was asked for, else the one that the file's ending names.

    Raises UsageError for no known ending, and where packages for the format are missing.
    """
    if asked is None:
        for known in FORMATS:
            if out.name.lower().endswith(f".{known}"):
                asked = known
    if asked is None:
        raise UsageError(
            f"The ending of {out.name} names no format.",
            f"Use one of .{', .'.join(FORMATS)}, or say --format.",
        )
    if asked == "jsonl.zst":
        require("data", "zstandard")
    elif asked == "parquet":
        require("data", "pyarrow")
    return asked


def write_as(lines: IO[bytes], path: Path, format: Format) -> None:
    """Write records that lie as JSON Lines to `path` in a format; the bytes are always the same."""
    if format == "parquet":
        _write_parquet(lines, path)
        return
    with path.open("wb") as target:
        if format == "jsonl":
            shutil.copyfileobj(lines, target, _BLOCK)
            return
        import zstandard

        zstandard.ZstdCompressor(level=10, write_checksum=True).copy_stream(lines, target)


def _write_parquet(lines: IO[bytes], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    decoder = msgspec.json.Decoder(Post)
    schema = _schema(pa)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        posts = map(decoder.decode, lines)
        while rows := [row_of(post) for post in itertools.islice(posts, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _schema(pa: Any) -> Any:
    """Arrow types of the fields of Post, in their order."""
    types = {"created": pa.int64(), "score": pa.int64(), "over_18": pa.bool_()}
    names = [name for name in Post.__struct_fields__ if name != "comments"]
    comment = pa.struct([pa.field(name, types.get(name, pa.string())) for name in names])
    types["comments"] = pa.list_(comment)
    return pa.schema(
        [pa.field(name, types.get(name, pa.string())) for name in Post.__struct_fields__]
    )
