"""Writes a tiny Llama whose answer depends on whether a "!" is anywhere in its prompt.

For tests of guards from end to end: a model that really reads, decides and writes, without
training. One attention layer without queries or keys averages over the prompt and finds the sign;
the output then prefers one set of tokens or the other. Token n is byte n for n below 256; then come
control tokens and words that are a token each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

SIGN = "!"
_WIDTH = 32
_FOUND = 5000.0
"""How strongly the sign is felt: one in 4,000 tokens is enough, and it fits into 16 bits."""


def write_deciding_gguf(
    path: Path,
    *,
    name: str,
    template: str,
    calm: Mapping[str, float],
    alarmed: Mapping[str, float],
    controls: Sequence[str] = ("<|eot_id|>",),
    words: Sequence[str] = (),
    context: int = 4096,
) -> Path:
    """Write it. `calm` and `alarmed` say how much each token is wanted without and with the sign.

    The first control token ends an answer. A preference of 1 more is 280 times the probability.
    """
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH)
    if template:
        writer.add_chat_template(template)
    tokens = ["<|begin_of_text|>", *controls, *words]
    size = _vocabulary(writer, tokens, len(words))
    embedding = np.zeros((size, _WIDTH), dtype=np.float32)
    embedding[:, 0] = 1.0
    embedding[ord(SIGN), 1] = 1.0
    output = np.zeros((size, _WIDTH), dtype=np.float32)
    for column, wanted in ((0, calm), (2, alarmed)):
        for text, weight in wanted.items():
            token = 256 + tokens.index(text) if text in tokens else ord(text)
            output[token, column] = weight
    _write_tensors(writer, embedding, output)
    return path


def _write_tensors(writer: gguf.GGUFWriter, embedding: np.ndarray, output: np.ndarray) -> None:
    square = np.zeros((_WIDTH, _WIDTH), dtype=np.float32)
    values = square.copy()
    values[2, 1] = _FOUND
    layer = {
        "attn_q": square,
        "attn_k": square,
        "attn_v": values,
        "attn_output": np.eye(_WIDTH, dtype=np.float32),
        "ffn_gate": square,
        "ffn_up": square,
        "ffn_down": square,
    }
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    for tensor, matrix in layer.items():
        writer.add_tensor(f"blk.0.{tensor}.weight", matrix)
    for tensor in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{tensor}.weight", np.ones(_WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(writer: gguf.GGUFWriter, more: Sequence[str], words: int) -> int:
    """Bytes, control tokens and, as the last ones, words; the size."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    tokens = [*(letters[byte] for byte in range(256)), *more]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    control, word = int(gguf.TokenType.CONTROL), int(gguf.TokenType.USER_DEFINED)
    types = [int(gguf.TokenType.NORMAL)] * 256 + [control] * (len(more) - words) + [word] * words
    writer.add_token_types(types)
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_add_bos_token(True)
    return len(tokens)
