"""A llama-type model with random weights and the starter's vocabulary, of a more usual size.

    python -m benchmarks.wide_model OUT.gguf

What a model says does not matter for speed: its shapes do. 16 layers of width 1,024 are 0.2
billion parameters, still small, but no longer a toy beside the guard.
"""

from __future__ import annotations

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

from oa_chat.catalog import STARTER, embedded_path

LAYERS, WIDTH, HEADS, FORWARD = 16, 1024, 16, 2816
_CHANGED = {
    "llama.block_count": LAYERS,
    "llama.embedding_length": WIDTH,
    "llama.feed_forward_length": FORWARD,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": HEADS,
}
_BLOCK_VALUES, _BLOCK_BYTES = 32, 34


def main(path: str) -> None:
    starter = GGUFReader(embedded_path(STARTER))
    writer = GGUFWriter(path, "llama")
    for key, field in starter.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0] is GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, _CHANGED.get(key, field.contents()), field.types[0])
    random = np.random.default_rng(1)
    vocabulary = len(starter.fields["tokenizer.ggml.tokens"].contents())
    _matrix(writer, random, "token_embd.weight", vocabulary, WIDTH)
    _ones(writer, "output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        _ones(writer, block + "attn_norm.weight")
        _ones(writer, block + "ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _matrix(writer, random, f"{block}{name}.weight", WIDTH, WIDTH)
        _matrix(writer, random, block + "ffn_gate.weight", FORWARD, WIDTH)
        _matrix(writer, random, block + "ffn_up.weight", FORWARD, WIDTH)
        _matrix(writer, random, block + "ffn_down.weight", WIDTH, FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _matrix(
    writer: GGUFWriter, random: np.random.Generator, name: str, rows: int, columns: int
) -> None:
    """Q8_0 blocks: a half-precision scale, then 32 signed bytes."""
    blocks = np.empty((rows, columns // _BLOCK_VALUES, _BLOCK_BYTES), dtype=np.uint8)
    scale = np.frombuffer(np.float16(0.3 / 127 / columns**0.5 * 8).tobytes(), dtype=np.uint8)
    blocks[:, :, :2] = scale
    blocks[:, :, 2:] = random.integers(0, 256, blocks[:, :, 2:].shape, dtype=np.uint8)
    flat = blocks.reshape(rows, -1)
    writer.add_tensor(name, flat, raw_dtype=GGMLQuantizationType.Q8_0)


def _ones(writer: GGUFWriter, name: str) -> None:
    writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))


if __name__ == "__main__":
    main(sys.argv[1])
