"""Steps of an encoder-decoder model: read a prompt, decode tokens, go back. Child processes only.

Knows positions and logits; what is decoded, and why, is up to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from oa_chat.engine.native import Context, Model, lib
from oa_chat.engine.sampler import Choice, Sampler
from oa_chat.errors import EngineError

MOST_ROWS = 64
"""Tokens with logits in one call: each takes 4 bytes x vocabulary of memory from the start."""


class Row:
    """The logits behind one token: probabilities of what may follow."""

    def __init__(self, logits: list[float]) -> None:
        self.logits = logits

    def probability(self, token: int) -> float:
        """How probable it is that `token` follows."""
        return math.exp(self.logits[token] - self._log_total)

    @cached_property
    def _log_total(self) -> float:
        # Plain Python: 2 ms for T5's 32,128 tokens, a few times a label, without loading numpy.
        highest = max(self.logits)
        return highest + math.log(sum(math.exp(logit - highest) for logit in self.logits))


class Decoder:
    """One prompt at a time on a context of its own."""

    def __init__(self, model: Model, context: Context) -> None:
        self._context = context
        self._vocabulary = model.n_vocab
        self._greedy = Sampler(model, Choice(temperature=0.0), [])
        self._batch = lib.llama_batch_init(context.options.batch, 0, 1)
        start = int(lib.llama_model_decoder_start_token(model.pointer))
        self.start = start if start >= 0 else int(lib.llama_vocab_bos(model.vocab))

    def read(self, prompt: Sequence[int]) -> None:
        """Run the encoder and forget what was decoded before."""
        lib.llama_memory_clear(self._context.memory, True)
        self._fill(prompt, 0, True)
        status = lib.llama_encode(self._context.pointer, self._batch)
        if status != 0:
            raise EngineError(f"The model could not read the prompt (llama_encode: {status}).")

    def decode(self, tokens: Sequence[int], at: int, rows: bool = False) -> list[Row]:
        """Put tokens at position `at` instead of what is there; with `rows`, all their logits."""
        lib.llama_memory_seq_rm(self._context.memory, 0, at, -1)
        self._fill(tokens, at, rows)
        self._batch.logits[len(tokens) - 1] = True
        status = lib.llama_decode(self._context.pointer, self._batch)
        if status != 0:
            raise EngineError(f"The model could not go on (llama_decode: {status}).")
        return [self._row(index) for index in range(len(tokens))] if rows else []

    def next(self) -> int:
        """The most probable token behind the last one."""
        return self._greedy.sample(self._context)

    def close(self) -> None:
        """Free what is not the context's."""
        lib.llama_batch_free(self._batch)
        self._greedy.close()

    def _fill(self, tokens: Sequence[int], at: int, wanted: bool) -> None:
        batch = self._batch
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = at + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = wanted
        batch.n_tokens = len(tokens)

    def _row(self, index: int) -> Row:
        return Row(lib.llama_get_logits_ith(self._context.pointer, index)[: self._vocabulary])
