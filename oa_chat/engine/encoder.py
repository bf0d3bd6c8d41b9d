"""Runs an encoder over batches of texts: token ids in, one pooled row a text out.

It knows llama.cpp's rules for encoders: all of a text in one call, and never more tokens in a call
than the physical batch holds, or a check inside llama.cpp ends the process. It does not know what
the rows mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oa_chat.engine.cuts import Ids
from oa_chat.engine.native import Model, lib, recent_log
from oa_chat.errors import EngineError, ModelError

MEAN, RANK = 1, 4  # enum llama_pooling_type
BATCH_TOKENS = 256
"""Attention is computed over the whole batch: on two cores, texts of 64 tokens took 9.0 ms each in
batches of 256 tokens, 9.6 in 512 and 17.1 in 2048."""
BATCH_TEXTS = 32


class Encoder:
    """A context that pools many texts at a time. `close` frees it, the model stays."""

    def __init__(self, model: Model, pooling: int, longest: int, threads: int) -> None:
        """`longest` is the most tokens of one text. Raises `ModelError` for want of memory."""
        self.tokens = max(BATCH_TOKENS, longest)
        # Only as many numbers as llama.cpp has written there: a classifier's rows are shorter
        # than its hidden state.
        count = lib.llama_model_n_cls_out if pooling == RANK else lib.llama_model_n_embd_out
        self._width = int(count(model.pointer))
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.tokens
        params.n_seq_max = BATCH_TEXTS
        params.kv_unified = True  # else it asks for a context of BATCH_TEXTS times the size
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        params.pooling_type = pooling
        params.no_perf = True
        self._context = lib.llama_init_from_model(model.pointer, params)
        if not self._context:
            raise ModelError(
                f"{model.path.name}: no context of {self.tokens} tokens could be made"
                f" ({recent_log() or 'no reason given'}).",
                "Close other programs, or use a smaller model.",
            )
        self._batch = lib.llama_batch_init(self.tokens, 0, 1)
        for at in range(self.tokens):
            self._batch.n_seq_id[at] = 1
            self._batch.logits[at] = 1

    def encode(self, texts: Sequence[Ids]) -> list[list[float]]:
        """One row a text. The texts must be a batch of `batches`."""
        batch, at = self._batch, 0
        for number, ids in enumerate(texts):
            for position, token in enumerate(ids):
                batch.token[at] = token
                batch.pos[at] = position
                batch.seq_id[at][0] = number
                at += 1
        batch.n_tokens = at
        status = lib.llama_encode(self._context, batch)
        if status != 0:
            raise EngineError(f"The model could not judge a text (llama_encode: {status}).")
        return [self._row(number) for number in range(len(texts))]

    def _row(self, number: int) -> list[float]:
        row = lib.llama_get_embeddings_seq(self._context, number)
        if not row:
            raise EngineError("The model gave no answer for a text.")
        return list(row[: self._width])

    def batches(self, texts: Sequence[Ids]) -> Iterator[list[Ids]]:
        """The texts in order, in groups that one call can take."""
        group: list[Ids] = []
        used = 0
        for ids in texts:
            if group and (used + len(ids) > self.tokens or len(group) == BATCH_TEXTS):
                yield group
                group, used = [], 0
            group.append(ids)
            used += len(ids)
        if group:
            yield group

    def close(self) -> None:
        """Free the context and its batch."""
        if self._context:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._context)
            self._context = None
