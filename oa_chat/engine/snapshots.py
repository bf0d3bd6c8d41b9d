"""Beginnings of prompts that come back, kept as what the model's memory held behind them.

A guard's policy stays the same while what it judges changes. `PrefixCache` keeps one beginning;
templates have two, since they speak of "user messages" or of "replies" in their first line, and
both are asked about in turn. Reading a policy anew takes seconds on a CPU, copying it back
milliseconds. Child processes only.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Callable, Sequence

from oa_chat.engine.native import Context, lib
from oa_chat.engine.prefix_cache import PrefixCache
from oa_chat.engine.runner import Cancelled

SHORTEST = 64
"""Tokens; less is not worth a copy."""
_MOST = 4
_LARGEST_BYTES = 512 * 2**20
"""Of all of them: 700 tokens take 22 MB with a model of 1B and 90 MB with one of 8B."""


class Snapshots:
    """The beginnings that were read last."""

    def __init__(self, context: Context, cache: PrefixCache) -> None:
        self._context = context
        self._cache = cache
        self._kept: OrderedDict[tuple[int, ...], bytes] = OrderedDict()

    def begin(
        self,
        beginning: Sequence[int],
        cancelled: Cancelled,
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Have the cache start with this, read or copied back. Raises like `PrefixCache`."""
        key = tuple(beginning)
        if len(key) < SHORTEST or tuple(self._cache.ids[: len(key)]) == key:
            return
        data = self._kept.get(key)
        if data is not None:
            self._kept.move_to_end(key)
            self._cache.clear()
            if lib.llama_state_seq_set_data(self._context.pointer, _buffer(data), len(data), 0):
                self._cache.ids[:] = key
                return
            self._cache.clear()
        self._cache.keep(key, logits=False)
        if self._cache.evaluate(key, cancelled, on_progress):
            self._keep(key)

    def _keep(self, key: tuple[int, ...]) -> None:
        size = int(lib.llama_state_seq_get_size(self._context.pointer, 0))
        if not 0 < size <= _LARGEST_BYTES:
            return
        buffer = (ctypes.c_uint8 * size)()
        written = int(lib.llama_state_seq_get_data(self._context.pointer, buffer, size, 0))
        if written:
            self._kept[key] = bytes(memoryview(buffer)[:written])
        while len(self._kept) > _MOST or sum(map(len, self._kept.values())) > _LARGEST_BYTES:
            self._kept.popitem(last=False)


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
