"""Contexts: where a loaded model keeps what it has evaluated, and how one is made to fit.

Child processes only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oa_chat.engine.binding import lib, recent_log
from oa_chat.engine.model import Model, open_model
from oa_chat.engine.protocol import OnProgress
from oa_chat.errors import ModelError, ModelUnreadable


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """What a context should be. The defaults suit generating text."""

    context: int
    """Tokens it can hold."""
    batch: int = 512
    """Tokens that one call can evaluate; encoders need all of a text at once."""
    threads: int = 1
    flash_attention: int = 1
    """1 on, 0 off, -1 llama.cpp decides."""
    outputs: int = 0
    """Most tokens with logits in one call; 0 is `batch`. 1 saves batch x vocabulary x 4 bytes."""
    embeddings: bool = False
    pooling: int = -1
    """-1 as the file says, 0 none, 1 mean, 4 rank (classifiers)."""


class Context:
    """A context on a model. Made by `open_context`; `close` frees it, the model stays."""

    def __init__(self, pointer: Any, options: ContextOptions) -> None:
        self.pointer = pointer
        self.options = options
        self.memory: Any = lib.llama_get_memory(pointer)
        self.size = int(lib.llama_n_ctx(pointer))

    def batch(self, ids: Sequence[int]) -> Any:
        """A batch of these tokens behind what is in the context; logits for the last one.

        The tokens' memory belongs to the batch and lives as long as it does.
        """
        tokens = (ctypes.c_int32 * len(ids))(*ids)
        batch = lib.llama_batch_get_one(tokens, len(ids))
        batch.owner = tokens
        return batch

    def close(self) -> None:
        """Free the context."""
        if self.pointer:
            lib.llama_free(self.pointer)
            self.pointer = None


def open_context(model: Model, options: ContextOptions) -> Context:
    """Make a context. Raises `ModelError` if llama.cpp refuses, mostly for want of memory."""
    params = lib.llama_context_default_params()
    params.n_ctx = options.context
    params.n_batch = params.n_ubatch = min(options.batch, options.context)
    params.n_outputs_max = options.outputs
    params.n_threads = params.n_threads_batch = options.threads
    params.flash_attn_type = options.flash_attention
    params.embeddings = options.embeddings
    params.pooling_type = options.pooling
    params.no_perf = True
    pointer = lib.llama_init_from_model(model.pointer, params)
    if not pointer:
        raise ModelError(
            f"{model.path.name}: no context of {options.context} tokens could be made"
            f" ({recent_log() or 'no reason given'}).",
            "Try a smaller context (--context) or a smaller model.",
        )
    return Context(pointer, options)


def open_both(
    path: Path,
    gpu_layers: int,
    options: Callable[[Model], Sequence[ContextOptions]],
    on_progress: OnProgress | None = None,
) -> tuple[Model, Context, str]:
    """Load a model and make the first context that works; the string is a note for the user.

    `options` gives the contexts to try, best first, and may raise. On a GPU that is too small,
    the best context is tried again with half the layers; with none, the others too. Raises like
    `open_model`.
    """
    layers = gpu_layers if lib.llama_supports_gpu_offload() else 0
    wanted = layers
    while True:
        model: Model | None = None
        try:
            model = open_model(path, layers, on_progress)
            # A smaller context comes last: rather a slower model than a more forgetful one.
            tries = options(model)
            context = _first_context(model, tries[:1] if layers else tries)
        except ModelError as error:
            layers_now = model.gpu_layers if model else (64 if layers < 0 else layers)
            if model:
                model.close()
            if layers == 0 or (isinstance(error, ModelUnreadable) and not _about_memory()):
                raise
            layers = layers_now // 2
            continue
        note = f"Only {layers} layers fit on the GPU." if layers != wanted else ""
        return model, context, note


def _about_memory() -> bool:
    lowered = recent_log(10).lower()
    return "alloc" in lowered or "memory" in lowered


def _first_context(model: Model, options: Sequence[ContextOptions]) -> Context:
    failure: ModelError | None = None
    for option in options:
        for flash in dict.fromkeys((option.flash_attention, -1, 0)):
            try:
                return open_context(model, replace(option, flash_attention=flash))
            except ModelError as error:
                failure = failure or error
    raise failure or ModelError(f"{model.path.name}: no context was asked for.")
