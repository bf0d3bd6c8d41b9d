"""Dump files as the archives publish them, made on the spot: rows, lines, and their packing."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zstandard

Row = dict[str, Any]

_FIRST = 1_546_300_800  # 2019-01-01


def submission(number: int, **said: Any) -> Row:
    """A submission as Pushshift has it, with some of the fields that nobody needs."""
    row = {
        "author": f"gardener{number}",
        "created_utc": _FIRST + number * 3600,
        "gilded": 0,
        "id": f"s{number:04d}",
        "media": None,
        "over_18": False,
        "permalink": f"/r/Gardening/comments/s{number:04d}/",
        "score": number,
        "selftext": f"Bed number {number} has slugs. {_noise(number)}",
        "subreddit": "Gardening",
        "subreddit_id": "t5_2qhkd",
        "title": f"What eats my lettuce, part {number}?",
    }
    return row | said


def comment(number: int, on: int, **said: Any) -> Row:
    """A comment on the submission `on`."""
    row = {
        "author": f"slug{number}",
        "body": f"Try beer traps, says {number}.",
        "created_utc": str(_FIRST + number),
        "id": f"c{number:04d}",
        "link_id": f"t3_s{on:04d}",
        "parent_id": f"t3_s{on:04d}",
        "score": number,
        "subreddit": "Gardening",
    }
    return row | said


def lines(rows: Iterable[Row]) -> bytes:
    return b"".join(line(row) for row in rows)


def line(row: Row) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode("utf-8") + b"\n"


def frame(text: bytes, *, window: int = 31, checksum: bool = False) -> bytes:
    """A zstd frame with a window of 2^31 bytes, whose size is not told, as in the archives."""
    settings = zstandard.ZstdCompressionParameters.from_level(
        1, window_log=window, enable_ldm=True, write_checksum=checksum
    )
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packer.compress(text) + packer.flush()


def blocks_of(packed: bytes) -> list[tuple[int, int]]:
    """Of a frame without checksum and size: offset and whole length of each block."""
    at, found = 6, []
    while True:
        head = int.from_bytes(packed[at : at + 3], "little")
        length = 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        found.append((at, length))
        at += length
        if head & 1:
            assert at == len(packed)
            return found


def broken(packed: bytes, at: int) -> bytes:
    """The bytes with a few of them overwritten."""
    return packed[:at] + b"\xff" * 12 + packed[at + 12 :]


def write(folder: Path, name: str, text: bytes) -> Path:
    """A file packed as its ending says."""
    path = folder / name
    if name.endswith(".zst"):
        text = frame(text)
    elif name.endswith(".gz"):
        text = gzip.compress(text, mtime=0)
    path.write_bytes(text)
    return path


def _noise(seed: int) -> str:
    """Text that does not pack well, so that a few hundred rows are several blocks."""
    chance = random.Random(seed)
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz     ", k=700))
