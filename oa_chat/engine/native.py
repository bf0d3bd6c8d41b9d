"""llama.cpp as this project uses it: loading, tokens, contexts, devices; child processes only.

A thin, typed layer over the low-level binding: everything untyped stays in here and in the runners
(`causal`, `classifier`, `seq2seq`), which call `lib` for decoding. The high-level `Llama` class is
not used: it redirects the process's file descriptors, aborts on T5 and tokenises untrusted text
with control tokens on. Importing this module loads the native libraries, so the parent process
must not import it.

    model, context, note = open_both(path, gpu_layers, lambda model: [ContextOptions(512)])
    ids = model.tokenize("untrusted text")
    lib.llama_decode(context.pointer, context.batch(ids))
"""

from __future__ import annotations

from oa_chat.engine.binding import (
    Device,
    backends,
    devices,
    forget_log,
    lib,
    recent_log,
    system_info,
)
from oa_chat.engine.context import Context, ContextOptions, open_both, open_context
from oa_chat.engine.cores import choose_threads
from oa_chat.engine.model import Model, open_model

__all__ = [
    "Context",
    "ContextOptions",
    "Device",
    "Model",
    "backends",
    "choose_threads",
    "devices",
    "forget_log",
    "lib",
    "open_both",
    "open_context",
    "open_model",
    "recent_log",
    "system_info",
]
