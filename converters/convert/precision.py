"""Which numbers a tensor is stored in.

One-dimensional tensors, small ones and tables that llama.cpp adds up stay float32: together they
are a few thousandths of a file. Rows that do not divide into blocks, and weights that float16
cannot hold, get a wider type, and a person is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from converters.convert.source import Source, Tensor

if TYPE_CHECKING:
    import numpy as np

Quant = Literal["q8_0", "q4_0", "q5_0", "q4_k_m", "f16", "bf16", "f32"]
EmbeddingsQuant = Literal["q8_0", "q4_0", "q5_0", "q4_k", "q6_k", "f16", "bf16", "f32"]
QUANTS: tuple[Quant, ...] = get_args(Quant)
EMBEDDINGS_QUANTS: tuple[EmbeddingsQuant, ...] = get_args(EmbeddingsQuant)
K_QUANTS = ("q4_k_m", "q4_k", "q6_k")
"""Made by llama.cpp itself, in a process of its own: `gguf` only reads them."""
SMALL = 4096
"""Numbers up to which a matrix stays float32."""
BLOCK = 32
"""Numbers that share a scale in q8_0, q5_0 and q4_0."""
K_BLOCK = 256
"""The same for the K-quants."""
_FALLBACK = {"q4_k": "q5_0", "q6_k": "q8_0"}
_F16_MAX = 65504.0
_CHUNK = 2**21
"""Numbers converted at once: 8 MB as float32, some 40 MB with what numpy needs beside it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The type of each tensor, by GGUF's names for types in lower case."""

    types: dict[str, str]
    notices: list[str]


def choose(source: Source, quant: str, embeddings: str | None) -> Choice:
    """Types for numpy's part: everything but the K-quants."""
    types: dict[str, str] = {}
    odd: list[str] = []
    overflow: list[str] = []
    for one in source.tensors:
        wanted = (embeddings or quant) if one.embedding else quant
        if one.keep or len(one.shape) < 2 or one.size < SMALL:
            wanted = "f32"
        elif wanted.startswith("q") and one.shape[-1] % BLOCK:
            odd.append(one.name)
            wanted = "bf16" if one.wide else "f16"
        if wanted == "f16" and (one.wide or _exceeds_f16(one)):
            overflow.append(one.name)
            wanted = "f32"
        types[one.name] = wanted
    notices = []
    if odd:
        notices.append(f"rows of {_some(odd)} do not divide by {BLOCK}: stored as 16-bit floats")
    if overflow:
        notices.append(f"{_some(overflow)} can exceed float16: stored as float32")
    return Choice(types, notices)


def embeddings_type(source: Source, wanted: str | None) -> tuple[str | None, list[str]]:
    """The type that the embedding table can have, as llama.cpp falls back, and what to tell."""
    table = next((one for one in source.tensors if one.embedding), None)
    if wanted is None or table is None:
        return wanted, []
    kind, width = wanted, table.shape[-1]
    if kind in _FALLBACK and width % K_BLOCK:
        kind = _FALLBACK[kind]
    if kind.startswith("q") and width % BLOCK:
        kind = "f16"
    if kind == wanted:
        return wanted, []
    return kind, [f"the embedding table's rows of {width} cannot be {wanted}: it is {kind}"]


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _exceeds_f16(one: Tensor) -> bool:
    import numpy as np

    return any(float(np.abs(rows).max(initial=0.0)) > _F16_MAX for rows in chunks(one))


def chunks(one: Tensor) -> Any:
    """The tensor's rows in order, a few at a time, as float32."""
    width = max(1, math.prod(one.shape[1:]))
    step = max(1, _CHUNK // width)
    for first in range(0, one.shape[0], step):
        yield one.read(first, min(first + step, one.shape[0]))


def stored_bytes(shape: tuple[int, ...], type_name: str) -> int:
    """How many bytes a tensor takes in a file."""
    import gguf

    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name.upper()]]
    return math.prod(shape) // int(block) * int(size)


def encoded(rows: np.ndarray, type_name: str) -> np.ndarray:
    """Float32 rows in another type, as their bytes lie in a file."""
    import gguf
    import numpy as np

    if type_name == "f32":
        return np.ascontiguousarray(rows, dtype="<f4")
    if type_name == "f16":
        return rows.astype("<f2")
    return np.asarray(gguf.quants.quantize(rows, gguf.GGMLQuantizationType[type_name.upper()]))


def file_type(quant: str) -> int:
    """llama.cpp's number for a file of mostly this type."""
    import gguf

    name = "ALL_F32" if quant == "f32" else f"MOSTLY_{quant.upper()}"
    return int(gguf.LlamaFileType[name])
