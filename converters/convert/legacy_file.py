"""Reads the LLaMA files of before GGUF: GGML, GGMF v1 and GGJT v1 to v3.

Format: magic; version (not GGML); seven 32-bit numbers; the vocabulary (length, bytes and, but for
GGML, a score each); then tensors: number of dimensions, length of the name, type, dimensions
(fastest first), name, for GGJT padding to 32 bytes, data. All little-endian.

The blocks of quantised types changed twice: GGJT v2 reordered the nibbles (all types), GGJT v3
stores the scales of Q4_0, Q4_1 and Q8_0 in 16 instead of 32 bits. Today's blocks are those of v3,
so v2's Q5_0 and Q5_1 are as well; the others cannot be taken over without loss and are refused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from converters.errors import ConversionError

GGML, GGMF, GGJT = 0x67676D6C, 0x67676D66, 0x67676A74
_GGUF = int.from_bytes(b"GGUF", "little")
_VERSIONS = {GGML: (0,), GGMF: (1,), GGJT: (1, 2, 3)}
_NAMES = {GGML: "GGML", GGMF: "GGMF", GGJT: "GGJT"}
TYPES = {0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0"}
_BLOCK = {"f32": (1, 4), "f16": (1, 2), "q4_0": (32, 18), "q4_1": (32, 20)} | {
    "q5_0": (32, 22),
    "q5_1": (32, 24),
    "q8_0": (32, 34),
}
"""Numbers and bytes of a block, as GGJT v3 has it."""
_MOST = {"vocab": 2**20, "embd": 2**16, "mult": 2**20, "head": 2**12, "layer": 2**10, "rot": 2**16}
_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class LegacyTensor:
    """A tensor's place in the file."""

    name: str
    type: str
    shape: tuple[int, ...]
    """Rows first."""
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class LegacyFile:
    """A parsed file."""

    path: Path
    form: str
    """Such as "GGJT v3"."""
    vocab: list[tuple[bytes, float | None]]
    embd: int
    head: int
    layer: int
    rot: int
    tensors: dict[str, LegacyTensor]


class _Reader:
    """Reads numbers, and knows where the file ends."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self.stream = stream
        self.size = path.stat().st_size

    def take(self, count: int) -> bytes:
        data = self.stream.read(count) if 0 <= count <= self.size else b""
        if len(data) != count:
            raise ConversionError(
                f"{self.path} ends within its header or a tensor's head, at byte"
                f" {self.stream.tell():,}.",
                "The download stopped early, or it is no LLaMA file.",
            )
        return data

    def numbers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.take(4 * count))


def is_legacy(path: Path) -> bool:
    """Whether a file starts like one of these formats."""
    with path.open("rb") as stream:
        start = stream.read(4)
    return len(start) == 4 and struct.unpack("<I", start)[0] in _VERSIONS


def read_legacy(path: Path) -> LegacyFile:
    """Parse the heads of a file; tensors stay on the disk. Raises ConversionError."""
    with path.open("rb") as stream:
        reader = _Reader(path, stream)
        (magic,) = reader.numbers(1)
        if magic == _GGUF:
            raise ConversionError(
                f"{path} is a GGUF file already.",
                "Name a checkpoint folder; llama.cpp's llama-quantize changes the type of a GGUF.",
            )
        if magic not in _VERSIONS:
            raise ConversionError(
                f"{path} is no LLaMA file of an old format (GGML, GGMF or GGJT).",
                "Name a checkpoint folder, or such a file.",
            )
        version = 0 if magic == GGML else reader.numbers(1)[0]
        form = _NAMES[magic] + (f" v{version}" if version else "")
        if version not in _VERSIONS[magic]:
            raise ConversionError(f"{path}: {form} is not known.")
        vocab, embd, mult, head, layer, rot, _ = reader.numbers(7)
        given = {"vocab": vocab, "embd": embd, "mult": mult, "head": head, "layer": layer}
        for name, value in (given | {"rot": rot}).items():
            if not 0 < value <= _MOST[name]:
                raise ConversionError(f"{path}: n_{name} is {value}, which is impossible.")
        if embd % head:
            raise ConversionError(f"{path}: n_embd {embd} does not divide by n_head {head}.")
        words = [_word(reader, scored=magic != GGML) for _ in range(vocab)]
        tensors = _tensors(reader, magic, version, form)
    return LegacyFile(path, form, words, embd, head, layer, rot, tensors)


def _word(reader: _Reader, *, scored: bool) -> tuple[bytes, float | None]:
    (length,) = reader.numbers(1)
    if length > 2**16:
        raise ConversionError(f"{reader.path}: a token of {length} bytes is impossible.")
    text = reader.take(length)
    return text, struct.unpack("<f", reader.take(4))[0] if scored else None


def _tensors(reader: _Reader, magic: int, version: int, form: str) -> dict[str, LegacyTensor]:
    tensors: dict[str, LegacyTensor] = {}
    while reader.stream.tell() < reader.size:
        dimensions, length, kind = reader.numbers(3)
        if dimensions not in (1, 2) or length > 256:
            raise ConversionError(
                f"{reader.path}: tensor {len(tensors)} has {dimensions} dimensions and a name of"
                f" {length} bytes; the file is damaged."
            )
        shape = tuple(reversed(reader.numbers(dimensions)))
        name = reader.take(length).decode("utf-8", "replace")
        type_name = _type(reader.path, name, kind, magic, version, form)
        start = reader.stream.tell()
        if magic == GGJT:
            start = -(-start // _ALIGNMENT) * _ALIGNMENT
        block, bytes_ = _BLOCK[type_name]
        if shape[-1] % block:
            raise ConversionError(f"{reader.path}: {name}: rows of {shape[-1]} in {type_name}.")
        size = math.prod(shape) // block * bytes_
        if start + size > reader.size or name in tensors:
            problem = "is there twice" if name in tensors else "ends behind the end of the file"
            raise ConversionError(f"{reader.path}: {name} {problem}.", "The file is damaged.")
        tensors[name] = LegacyTensor(name, type_name, shape, start, size)
        reader.stream.seek(start + size)
    return tensors


def _type(path: Path, name: str, kind: int, magic: int, version: int, form: str) -> str:
    """The type's name, if its blocks are today's. Raises ConversionError."""
    type_name = TYPES.get(kind)
    if type_name is None:
        raise ConversionError(f"{path}: {name} has the type {kind}, which is not supported.")
    new = magic == GGJT and version == 3
    same = magic == GGJT and version == 2 and type_name in ("q5_0", "q5_1")
    if type_name in ("f32", "f16") or new or same:
        return type_name
    raise ConversionError(
        f"{path}: {name} is {type_name} of {form}, whose blocks are laid out in an old way;"
        " it cannot be converted without loss.",
        "Convertible: f32 and f16 of every version, q5_0 and q5_1 of GGJT v2, everything of"
        " GGJT v3. Get the original weights, or a GGUF file of the model.",
    )
