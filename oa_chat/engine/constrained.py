"""The most probable next token, under a grammar that says what may be written at all.

Grammars are llama.cpp's GBNF. Child processes only; what is asked and what it means is not here.
"""

from __future__ import annotations

import ctypes
import math
from array import array
from typing import Any

from oa_chat.engine.native import Context, Model, lib
from oa_chat.engine.sampler import Choice, Sampler
from oa_chat.errors import EngineError


class Constrained:
    """Greedy decoding; `close` frees it. Made for one answer: a grammar remembers what came."""

    def __init__(self, model: Model, grammar: str) -> None:
        """An empty grammar allows everything. Raises `EngineError` for one that is not GBNF."""
        self._model = model
        self._greedy = Sampler(model, Choice(temperature=0.0), [])
        self._grammar = None
        if grammar:
            self._grammar = lib.llama_sampler_init_grammar(model.vocab, grammar.encode(), b"root")
            if not self._grammar:
                self.close()
                raise EngineError("The guard's question has a grammar that llama.cpp cannot read.")

    def next(self, context: Context) -> int | None:
        """The token, which counts as written from now on; None if nothing at all is allowed.

        The grammar looks at the most probable token alone first: looking at all of them takes
        20 ms with a vocabulary of 128,000, and a trained guard hardly ever needs it.
        """
        token: int | None = self._greedy.sample(context)
        if not self._grammar:
            return token
        if not self._allowed(token):
            token = self._best(context)
        if token is not None:
            lib.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        """Free the samplers."""
        self._greedy.close()
        if self._grammar:
            lib.llama_sampler_free(self._grammar)
            self._grammar = None

    def _allowed(self, token: int | None) -> bool:
        one = (lib.llama_token_data * 1)(lib.llama_token_data(token, 0.0, 0.0))
        self._apply(one)
        return math.isfinite(one[0].logit)

    def _best(self, context: Context) -> int | None:
        """The most probable allowed token. Never asks for one if there is none: that aborts."""
        size = self._model.n_vocab
        table = (lib.llama_token_data * size)()  # rows of id, logit and p, four bytes each
        cells = memoryview(table).cast("B")
        cells.cast("i")[0::3] = memoryview(array("i", range(size)))
        cells.cast("f")[1::3] = logits(context, size)
        self._apply(table)
        masked = cells.cast("f")[1::3].tolist()
        best = max(range(size), key=masked.__getitem__)
        return best if math.isfinite(masked[best]) else None

    def _apply(self, table: ctypes.Array[Any]) -> None:
        data = ctypes.cast(table, ctypes.POINTER(lib.llama_token_data))
        rows = lib.llama_token_data_array(data, len(table), -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(rows))


def logits(context: Context, size: int) -> memoryview[float]:
    """The context's last logits; valid until something is evaluated."""
    pointer = lib.llama_get_logits_ith(context.pointer, -1)
    row = (ctypes.c_float * size).from_address(ctypes.addressof(pointer.contents))
    return memoryview(row).cast("B").cast("f")
