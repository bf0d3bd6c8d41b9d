"""Packed files as bytes, however damaged: what is broken becomes a gap, the rest is read.

    .zst     frames with windows of up to 2^31 bytes (Zstandard: RFC 8878), skippable frames
    .gz      members (RFC 1952)
    others   as they are

A frame is fed to the decoder block by block, so its end, and the place of any damage, is known to
the block; after damage reading goes on with the next frame. Lines and records are not known here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from converters.extras import require

WINDOW = 2**31
"""Bytes. The monthly dumps are written with this zstd window; decoders refuse it unless told."""
_PIECE = 128 * 2**10
"""Bytes: what a zstd block unpacks to at most, and what is handed on at a time."""
_PLAIN = 2**20
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b\x08"
_SEARCHED = 2**20


@dataclass(frozen=True, slots=True)
class Start:
    """Reading can begin at this byte of the file: the next piece is unpacked from there."""

    offset: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Something is missing between the pieces before and after."""

    offset: int
    """The byte of the file where the damage was met."""
    reason: str


Event = Start | Gap | bytes


def unpack(path: Path) -> Iterator[Event]:
    """The pieces of a file from its beginning. Pieces are never empty."""
    with path.open("rb", _SEARCHED) as file:
        yield from unpack_from(file, path.name)


def unpack_from(file: IO[bytes], name: str) -> Iterator[Event]:
    """The pieces of a file of this name, from where it stands: at 0, or the offset of a Start.

    Pieces are never empty. `file` stands about where its bytes were used up.
    """
    if name.lower().endswith(".zst"):
        yield from _zstd(file)
    elif name.lower().endswith(".gz"):
        yield from _gzip(file)
    else:
        yield from _plain(file)


def _plain(file: IO[bytes]) -> Iterator[Event]:
    while True:
        offset = file.tell()
        piece = file.read(_PLAIN)
        if not piece:
            return
        yield Start(offset)
        yield piece


# ------------------------------------------------------------------------------------- zstd


class _Frame:
    """The packed bytes of one zstd frame, a block at each `read`; then nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._begun = False
        self._last = False
        self._checksum = 0
        self.offset = file.tell()
        """Of the block that was read last."""
        self.truncated = False

    @property
    def over(self) -> bool:
        return self._last or self.truncated

    def read(self, _size: int = -1) -> bytes:
        """The header of the frame, or the next block: at most 2 MiB, whatever is asked for."""
        if self.over:
            return b""
        self.offset = self._file.tell()
        if not self._begun:
            self._begun = True
            return self._header()
        head = self._exactly(3)
        if self.truncated:
            return head
        number = int.from_bytes(head, "little")
        self._last = bool(number & 1)
        run_of_one_byte = number >> 1 & 3 == 1
        size = 1 if run_of_one_byte else number >> 3
        return head + self._exactly(size + (self._checksum if self._last else 0))

    def skip(self) -> None:
        """Go to the frame's end, as far as its blocks still say where that is."""
        while not self.over:
            self.read()

    def _header(self) -> bytes:
        head = self._exactly(5)
        if self.truncated:
            return head
        flags = head[4]
        single = flags >> 5 & 1
        self._checksum = 4 * (flags >> 2 & 1)
        size = (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
        return head + self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        self.truncated = self.truncated or len(data) < size
        return data


def _zstd(file: IO[bytes]) -> Iterator[Event]:
    require("data", "zstandard")
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    while magic := file.read(4):
        offset = file.tell() - len(magic)
        if _is_skippable(magic):
            file.seek(int.from_bytes(file.read(4), "little"), 1)
            continue
        if magic != _ZSTD:
            short = len(magic) < 4
            yield Gap(offset, "the file is cut off" if short else "no zstd frame begins here")
            _find(file, _ZSTD, offset + 1)
            continue
        file.seek(offset)
        yield Start(offset)
        frame = _Frame(file)
        reader = decoder.stream_reader(frame, read_across_frames=False)  # type: ignore[arg-type]
        try:
            while piece := reader.read1(_PIECE):
                yield piece
        except zstandard.ZstdError as error:
            broken = frame.offset
            _after_damage(file, frame)
            yield Gap(
                broken, f"a zstd block is broken ({_said(error)}){_lost(file, broken, 'frame')}"
            )
            continue
        if frame.truncated:
            yield Gap(file.tell(), "the file is cut off")
            return


def _after_damage(file: IO[bytes], frame: _Frame) -> None:
    """Go to the next frame: by the sizes of the blocks, or where they lead nowhere by its mark."""
    broken = frame.offset
    frame.skip()
    landed = file.tell()
    magic = file.read(4)
    file.seek(landed)
    if frame.truncated or (magic and magic != _ZSTD and not _is_skippable(magic)):
        _find(file, _ZSTD, broken + 1)


def _lost(file: IO[bytes], broken: int, unit: str) -> str:
    """What damage costs, as `file` is where reading goes on now."""
    next_ = file.tell()
    is_end = not file.read(1)
    file.seek(next_)
    until = "end of the file" if is_end else f"next {unit}"
    return (
        f"; what follows in its {unit} cannot be read without it: "
        f"{next_ - broken:,} bytes, up to the {until}"
    )


def _is_skippable(magic: bytes) -> bool:
    return magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5


def _said(error: Exception) -> str:
    return str(error).removeprefix("zstd decompress error: ").lower()


# ------------------------------------------------------------------------------------- gzip


def _gzip(file: IO[bytes]) -> Iterator[Event]:
    while magic := file.read(3):
        offset = file.tell() - len(magic)
        if not magic.strip(b"\0"):  # padding, as tape archives have it
            continue
        if magic != _GZIP:
            short = len(magic) < 3
            yield Gap(offset, "the file is cut off" if short else "no gzip member begins here")
            _find(file, _GZIP, offset + 1)
            continue
        file.seek(offset)
        yield Start(offset)
        yield from _member(file)


def _member(file: IO[bytes]) -> Iterator[Event]:
    decoder = zlib.decompressobj(wbits=31)
    fed = file.tell()
    while not decoder.eof:
        packed = decoder.unconsumed_tail
        if not packed:
            fed = file.tell()
            packed = file.read(_PIECE // 8)
        if not packed:
            yield Gap(fed, "the file is cut off")
            return
        try:
            piece = decoder.decompress(packed, _PIECE)
        except zlib.error as error:
            _find(file, _GZIP, fed + 1)
            yield Gap(fed, f"a gzip member is broken ({error}){_lost(file, fed, 'member')}")
            return
        if piece:
            yield piece
    file.seek(-len(decoder.unused_data), 1)


def _find(file: IO[bytes], mark: bytes, start: int) -> None:
    """Go to the next place from `start` where `mark` stands, or to the end."""
    file.seek(start)
    before = b""
    while block := file.read(_SEARCHED):
        found = (before + block).find(mark)
        if found >= 0:
            file.seek(found - len(before) - len(block), 1)
            return
        before = (before + block)[-len(mark) + 1 :]
