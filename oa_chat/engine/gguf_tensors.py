"""Where a GGUF file's tensors end, to tell a whole file from a truncated one.

Reads the list of tensors, not their data.
"""

from __future__ import annotations

from dataclasses import dataclass

from oa_chat.engine.gguf_reader import Cursor, HeaderBroken

MOST_TENSORS = 200_000
MOST_DIMENSIONS = 4
MOST_VALUES = 2**50
_LONGEST_NAME = 256

_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Values and bytes of a block, by ggml type. A type that is missing here counts as empty."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """What the list of tensors says."""

    names: frozenset[str]
    data_bytes: int
    """From the start of the tensor data to the end of the last tensor, as far as known."""


def read_tensors(cursor: Cursor, count: int) -> Tensors:
    """Read `count` tensor descriptions. Raises `HeaderBroken` for impossible ones."""
    if count > MOST_TENSORS:
        raise HeaderBroken(f"its header announces {count} tensors")
    names: set[str] = set()
    end = 0
    for _ in range(count):
        name = cursor.text(_LONGEST_NAME)
        size = _tensor_bytes(cursor, name)
        end = max(end, cursor.u64() + size)
        names.add(name)
    if len(names) < count:
        raise HeaderBroken("two of its tensors have the same name")
    return Tensors(frozenset(names), end)


def _tensor_bytes(cursor: Cursor, name: str) -> int:
    dimensions = cursor.u32()
    if dimensions > MOST_DIMENSIONS:
        raise HeaderBroken(f"its tensor '{name[:40]}' has {dimensions} dimensions")
    values = 1
    for _ in range(dimensions):
        values *= cursor.u64()
    if values > MOST_VALUES:
        raise HeaderBroken(f"its tensor '{name[:40]}' has {values} values")
    per_block, block_bytes = _BLOCKS.get(cursor.u32(), (1, 0))
    return -(-values // per_block) * block_bytes
