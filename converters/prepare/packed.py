"""Packed files (.gz, .zst) as streams of their contents that tell when they were cut short.

The libraries' own streams do not do for files that came over a bad line: zstandard's takes a frame
without an end for a whole one, and gzip's forgets what it had read before the error.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO

from converters.extras import require

_ZSTD_WINDOW = 2**31
"""Bytes. Reddit's dumps are written with this window, and decoders refuse it unless told."""

BROKEN: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error)
"""What reading a packed file can raise."""


def opened(path: Path) -> IO[bytes]:
    """A packed file as a stream of its contents, which raises EOFError if it was cut short."""
    if path.name.lower().endswith(".gz"):
        return _GzipStream(path)  # type: ignore[return-value]
    return _ZstdStream(path)  # type: ignore[return-value]


class _GzipStream:
    """gzip's own stream forgets what it has read when it comes to an error; this gives it first."""

    def __init__(self, path: Path) -> None:
        self._stream = gzip.GzipFile(path)

    def __enter__(self) -> _GzipStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        return self._stream.read1(size)


class _ZstdStream:
    """zstandard's own stream takes a frame that was cut short for a whole one; this tells."""

    def __init__(self, path: Path) -> None:
        require("data", "zstandard")
        import zstandard

        self._error = zstandard.ZstdError
        self._unpack = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._stream = path.open("rb")
        self._frame = self._unpack.decompressobj()
        self._in_frame = False

    def __enter__(self) -> _ZstdStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """About so many bytes; none at the end."""
        pieces: list[bytes] = []
        have = 0
        while have < size:
            try:
                piece = self._piece()
            except EOFError:
                # Told when there is nothing left to give before it.
                if pieces:
                    break
                raise
            if piece is None:
                break
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def _piece(self) -> bytes | None:
        """What the next packed bytes hold, perhaps nothing; None at the end of the file."""
        packed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = self._unpack.decompressobj()
            self._in_frame = False
        packed = packed or self._stream.read(2**17)
        if not packed:
            if self._in_frame:
                raise EOFError("it ends in the middle of a zstd frame")
            return None
        self._in_frame = True
        try:
            return self._frame.decompress(packed)
        except self._error as error:
            raise EOFError(f"its zstd data are damaged: {error}") from error
