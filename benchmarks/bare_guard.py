"""The peer of judging in batches: llama.cpp's own calls in a bare loop, in a process of its own.

    python -m benchmarks.bare_guard MODEL < texts.json

Takes a JSON list of texts and judges each once, in batches of as many as fit into 512 tokens.
Prints JSON: `cpu_ms` and `wall_ms` of the loop, tokenising included and loading not, and for each
text its most probable label's number.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import Any

import llama_cpp.llama_cpp as lib

from oa_chat.engine.cores import choose_threads

_TOKENS, _TEXTS, _LONGEST = 512, 32, 128
_RANK = 4


def main(path: str) -> None:
    texts = json.load(sys.stdin)
    silent = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = _TOKENS
    params.n_seq_max, params.kv_unified = _TEXTS, True
    params.n_threads = params.n_threads_batch = choose_threads(lib.llama_model_size(model))
    params.embeddings, params.pooling_type, params.no_perf = True, _RANK, True
    context = lib.llama_init_from_model(model, params)
    vocab = lib.llama_model_get_vocab(model)
    labels = lib.llama_model_n_cls_out(model)
    batch = lib.llama_batch_init(_TOKENS, 0, 1)
    _judge(context, vocab, labels, batch, texts[:_TEXTS])
    cpu, wall = time.process_time(), time.perf_counter()
    found = _judge(context, vocab, labels, batch, texts)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu_ms": cpu * 1000, "wall_ms": wall * 1000, "labels": found}))


def _judge(context: Any, vocab: Any, labels: int, batch: Any, texts: list[str]) -> list[int]:
    found: list[int] = []
    buffer = (ctypes.c_int32 * _TOKENS)()
    used = count = 0
    for text in texts:
        raw = text.encode()
        length = lib.llama_tokenize(vocab, raw, len(raw), buffer, _LONGEST, True, False)
        if used + length > _TOKENS or count == _TEXTS:
            found += _encode(context, labels, batch, used, count)
            used = count = 0
        for at in range(length):
            batch.token[used], batch.pos[used] = buffer[at], at
            batch.n_seq_id[used], batch.logits[used] = 1, 1
            batch.seq_id[used][0] = count
            used += 1
        count += 1
    return found + (_encode(context, labels, batch, used, count) if count else [])


def _encode(context: Any, labels: int, batch: Any, used: int, count: int) -> list[int]:
    batch.n_tokens = used
    if lib.llama_encode(context, batch) != 0:
        raise SystemExit("llama_encode failed")
    rows = [lib.llama_get_embeddings_seq(context, number)[:labels] for number in range(count)]
    return [row.index(max(row)) for row in rows]


if __name__ == "__main__":
    main(sys.argv[1])
