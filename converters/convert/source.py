"""What an architecture makes of a checkpoint: names, numbers, a vocabulary and lazy tensors.

The seam between the architectures (one file each) and the writer, which knows none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from converters.convert.checkpoint import Stored
from oa_chat.engine.protocol import ModelKind

if TYPE_CHECKING:
    import numpy as np

Value = str | bool | int | float | bytes | list[str] | list[int] | list[float] | list[bool]
"""A value of the metadata: int becomes uint32, float becomes float32, bytes an array of uint8."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor on its way into a file."""

    name: str
    """In GGUF's words, such as "blk.0.attn_q.weight"."""
    shape: tuple[int, ...]
    read: Callable[[int, int], np.ndarray]
    """Rows [first, end) as float32."""
    embedding: bool = False
    """Whether it is the token table, which `--embeddings-quant` is about."""
    keep: bool = False
    """Whether it stays float32 whatever is asked for."""
    wide: bool = False
    """Whether what is multiplied with it can exceed float16: then it is never stored as F16."""

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def tensor(
    name: str,
    stored: Stored,
    *,
    scale: float = 1.0,
    skip: int = 0,
    embedding: bool = False,
    keep: bool = False,
    wide: bool = False,
) -> Tensor:
    """A stored tensor under another name, multiplied by `scale`, without its first `skip` rows."""

    def read(first: int, end: int) -> np.ndarray:
        values = stored.rows(first + skip, end + skip)
        return values if scale == 1.0 else values * values.dtype.type(scale)

    shape = (stored.shape[0] - skip, *stored.shape[1:])
    return Tensor(name, shape, read, embedding, keep, wide)


@dataclass(frozen=True, slots=True)
class Source:
    """A model, ready to be written in any precision."""

    architecture: str
    """llama.cpp's name for it."""
    kind: ModelKind
    values: dict[str, Value]
    """Metadata of the architecture and of the vocabulary."""
    tensors: list[Tensor]
    labels: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What a person should know about this conversion."""

    @property
    def parameters(self) -> int:
        """How many numbers the model holds."""
        return sum(one.size for one in self.tensors)
