"""Reads a safetensors file row by row: header, types, places; nothing is held but the rows at hand.

The `safetensors` package maps whole files and knows no bfloat16 without torch, whose import alone
takes 200 MB. The format (8 bytes of length, a JSON header, the data) is the one that
https://huggingface.co/docs/safetensors describes. A file that does not hold what its header says
is a ConversionError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from converters.errors import ConversionError

if TYPE_CHECKING:
    import numpy as np

_LONGEST_HEADER = 100 * 2**20
"""Bytes; the limit of the safetensors package."""
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""What weights may be; whole numbers are buffers such as position_ids."""


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor in a safetensors file."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """The first byte, counted from the start of the file."""

    def rows(self, first: int, end: int) -> np.ndarray:
        """Rows of the first dimension as float32, in memory of their own. Raises ConversionError.

        A one-dimensional tensor's elements are its rows.
        """
        import numpy as np

        if self.dtype not in _NUMPY:
            raise ConversionError(f"{self.path}: {self.name} holds {self.dtype}, no weights.")
        width = math.prod(self.shape[1:])
        size = _SIZES[self.dtype]
        with self.path.open("rb") as stream:
            stream.seek(self.start + first * width * size)
            data = stream.read((end - first) * width * size)
        raw = np.frombuffer(data, _NUMPY[self.dtype])
        if raw.size != (end - first) * width:
            raise ConversionError(f"{self.path}: {self.name} ends early; the file has changed.")
        if self.dtype == "BF16":
            values = (raw.astype(np.uint32) << 16).view(np.float32)
        else:
            values = raw.astype(np.float32)
        return values.reshape((end - first, *self.shape[1:]))


def read_safetensors(path: Path) -> dict[str, FileTensor]:
    """The tensors of a file, by name. Raises ConversionError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
                raise ConversionError(
                    f"{path} is no safetensors file: a header of {length} bytes in {size}.",
                    "Copy or download it again.",
                )
            header = msgspec.json.decode(stream.read(length), type=dict[str, msgspec.Raw])
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path}: its header is broken: {error}.") from error
    start = 8 + length
    header.pop("__metadata__", None)
    return {name: _tensor(path, name, raw, start, size) for name, raw in header.items()}


def _tensor(path: Path, name: str, raw: msgspec.Raw, start: int, size: int) -> FileTensor:
    try:
        entry = msgspec.json.decode(raw, type=_Entry)
    except msgspec.DecodeError as error:
        raise ConversionError(f"{path}: {name}: {error}.") from error
    first, end = entry.data_offsets
    if entry.dtype not in _SIZES:
        raise ConversionError(
            f"{path}: {name} has the type {entry.dtype}, which is not known.",
            "Save the checkpoint in float32, float16 or bfloat16.",
        )
    if min(entry.shape, default=0) < 0 or not 0 <= first <= end:
        raise ConversionError(f"{path}: {name}: impossible shape or place {entry.shape}.")
    needed = math.prod(entry.shape) * _SIZES[entry.dtype]
    if end - first != needed:
        raise ConversionError(
            f"{path}: {name} has the shape {entry.shape} ({needed:,} bytes) but"
            f" {end - first:,} bytes of data."
        )
    if start + end > size:
        raise ConversionError(
            f"{path} is truncated: {name} ends at byte {start + end:,} of {size:,}.",
            "The copy stopped early: copy or download it again.",
        )
    return FileTensor(path, name, entry.dtype, tuple(entry.shape), start + first)
