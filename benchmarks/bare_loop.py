"""The peer of decoding: llama.cpp's own calls in a bare loop, in a process of its own.

    python -m benchmarks.bare_loop MODEL TOKENS

Prints the milliseconds from the first token to the last, as the session counts them.
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib

from oa_chat.engine.cores import choose_threads

_PROMPT = b"<|im_start|>user\nI worked too much this week<|im_end|>\n<|im_start|>assistant\n"


def main(path: str, count: int) -> None:
    silent = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = choose_threads(Path(path).stat().st_size, 0)
    params.flash_attn_type = 1
    params.no_perf = True
    context = lib.llama_init_from_model(model, params)
    tokens = (ctypes.c_int32 * 512)()
    vocab = lib.llama_model_get_vocab(model)
    used = lib.llama_tokenize(vocab, _PROMPT, len(_PROMPT), tokens, 512, False, True)
    lib.llama_decode(context, lib.llama_batch_get_one(tokens, used))
    print(_milliseconds(context, _chain(), count))


def _chain() -> Any:
    """The same links that the session's sampling makes."""
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_min_p(0.05, 1))
    lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_temp(1.5))
    lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(3))
    return chain


def _milliseconds(context: Any, chain: Any, count: int) -> float:
    one = (ctypes.c_int32 * 1)()
    one[0] = lib.llama_sampler_sample(chain, context, -1)
    started = time.perf_counter()
    for _ in range(count - 1):
        lib.llama_decode(context, lib.llama_batch_get_one(one, 1))
        one[0] = lib.llama_sampler_sample(chain, context, -1)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
