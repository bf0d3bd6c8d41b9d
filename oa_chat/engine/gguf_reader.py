"""Reading GGUF's header values with hard bounds, for files that may be damaged or hostile.

The usual reader trusts every count in the file: 49 bytes that announce 2^63 array items keep it
busy for ever. Here nothing is read, kept or counted beyond what the file's size allows. The
meaning of the values is for `gguf_header`.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

MOST_HEADER_BYTES = 256 * 2**20
"""The largest known headers (250,000 tokens with merges) take about 12 MB."""
LONGEST_TEXT = 8 * 2**20
LONGEST_KEY = 2**16
MOST_ITEMS_KEPT = 1_000_000
_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_FORMATS[12] = "d"
_SCALARS = {code: struct.Struct(f"<{form}") for code, form in _FORMATS.items()}
_LENGTH = struct.Struct("<Q")

Value = str | int | float | bool | list[str] | list[int] | list[float] | None
"""A metadata value; None stands for an array that nobody asked for."""


class HeaderEnds(Exception):
    """The file ends inside its header."""


class HeaderBroken(Exception):
    """The header says something impossible; the text says what."""


class Cursor:
    """A position in the header. Little-endian, reads ahead in growing pieces."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._data = bytearray()
        self.at = 0

    def _reach(self, end: int) -> None:
        """Have everything up to byte `end` in memory."""
        if end <= len(self._data):
            return
        if end > self._size:
            raise HeaderEnds
        if end > MOST_HEADER_BYTES:
            raise HeaderBroken(f"its header is larger than {MOST_HEADER_BYTES // 2**20} MiB")
        wanted = max(end, 2 * len(self._data), 2**16)
        self._data += self._file.read(min(wanted, self._size) - len(self._data))
        if end > len(self._data):  # the file shrank meanwhile
            raise HeaderEnds

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        self._reach(self.at + count)
        self.at += count
        return bytes(self._data[self.at - count : self.at])

    def scalar(self, code: int) -> int | float | bool:
        """The next number of GGUF value type `code`."""
        form = _SCALARS[code]
        value: int | float | bool = form.unpack(self.take(form.size))[0]
        return value

    def u32(self) -> int:
        """The next unsigned 32-bit number."""
        return int(self.scalar(4))

    def u64(self) -> int:
        """The next unsigned 64-bit number."""
        return int(self.scalar(10))

    def text(self, longest: int) -> str:
        """The next string; `HeaderBroken` if it is longer than `longest` bytes."""
        length = self.u64()
        if length > longest:
            raise HeaderBroken(f"a text in its header is {length} bytes long")
        return self.take(length).decode("utf-8", "replace")

    def value(self, keep_arrays: bool) -> Value:
        """The next metadata value: its type, then itself."""
        code = self.u32()
        if code == _STRING:
            return self.text(LONGEST_TEXT)
        if code == _ARRAY:
            return self._array(keep_arrays)
        if code not in _SCALARS:
            raise HeaderBroken(f"its header has a value of the unknown type {code}")
        return self.scalar(code)

    def _array(self, keep: bool) -> Value:
        code = self.u32()
        count = self.u64()
        if code == _ARRAY:
            raise HeaderBroken("its header has an array of arrays")
        if code != _STRING and code not in _SCALARS:
            raise HeaderBroken(f"its header has an array of the unknown type {code}")
        smallest = _LENGTH.size if code == _STRING else _SCALARS[code].size
        if count * smallest > MOST_HEADER_BYTES:
            raise HeaderBroken(f"its header announces an array of {count} items")
        if self.at + count * smallest > self._size:
            raise HeaderEnds
        keep = keep and count <= MOST_ITEMS_KEPT
        if code == _STRING:
            if not keep:
                self._skip_texts(count)
                return None
            return [self.text(LONGEST_TEXT) for _ in range(count)]
        data = self.take(count * smallest)
        if not keep:
            return None
        return list(struct.unpack(f"<{count}{_SCALARS[code].format[1:]}", data))

    def _skip_texts(self, count: int) -> None:
        # A tight loop: vocabularies have up to half a million texts (0.1 s).
        at, have, data, unpack = self.at, len(self._data), self._data, _LENGTH.unpack_from
        for _ in range(count):
            if at + 8 > have:
                self._reach(at + 8)
                have = len(data)
            at += 8 + unpack(data, at)[0]
            if at > self._size:
                raise HeaderEnds
        self.at = at
        self._reach(at)
