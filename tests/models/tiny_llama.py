"""Writes a Llama of one small layer with random weights, as a whole GGUF that llama.cpp loads.

For tests of what is around a model: whatever it writes is noise, so only a grammar keeps it in a
form. Token n is byte n for n below 256; then come the control tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

_WIDTH, _INNER, _CONTEXT = 64, 128, 4096


def write_llama_gguf(
    path: Path, *, name: str, template: str, controls: Sequence[str] = (), seed: int = 1
) -> Path:
    """Write the model; `controls` are control tokens beside BOS and the end of a turn."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // 2)
    size = _vocabulary(writer, ["<|bos|>", "<|eot|>", *controls])
    if template:
        writer.add_chat_template(template)
    random = np.random.default_rng(seed)
    shapes = {
        "token_embd": (size, _WIDTH),
        "output": (size, _WIDTH),
        "blk.0.attn_q": (_WIDTH, _WIDTH),
        "blk.0.attn_k": (_WIDTH, _WIDTH),
        "blk.0.attn_v": (_WIDTH, _WIDTH),
        "blk.0.attn_output": (_WIDTH, _WIDTH),
        "blk.0.ffn_gate": (_INNER, _WIDTH),
        "blk.0.ffn_up": (_INNER, _WIDTH),
        "blk.0.ffn_down": (_WIDTH, _INNER),
    }
    for tensor, shape in shapes.items():
        writer.add_tensor(f"{tensor}.weight", random.normal(0, 0.2, shape).astype(np.float32))
    for tensor in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{tensor}.weight", np.ones(_WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary(writer: gguf.GGUFWriter, controls: Sequence[str]) -> int:
    """A byte-level vocabulary; its size."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    tokens = [letters[byte] for byte in range(256)] + list(controls) + ["he"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3] * len(controls) + [1])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_add_bos_token(True)
    return len(tokens)
