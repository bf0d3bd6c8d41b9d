"""Writes a transformers T5 as the GGUF that llama.cpp reads.

It exists so that the engine can be tested against PyTorch with models small enough to commit or to
make in a second. Both T5 shapes are covered: v1.0 (ReLU, tied embeddings) and v1.1 (gated GELU,
output matrix of its own). It does not read checkpoints or tokenizer files.

What a T5 needs that a plain copy of the tensors would miss:

* Tied models multiply the decoder's output by ``d_model**-0.5`` in transformers and not in
  llama.cpp, so the factor goes into ``dec.output_norm.weight``. Without it the logits are
  sqrt(d_model) too large: the same words, but wrong probabilities.
* llama.cpp's position buckets end at a distance of 128, and it cannot load a decoder with more
  layers than its encoder: such models are refused.
* Added tokens (``<sep>`` and the like) are of type CONTROL. As USER_DEFINED they would be
  recognised in untrusted text too, whatever the tokenizer is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, LlamaFileType, TokenType
from transformers import T5Config, T5ForConditionalGeneration

Precision = Literal["f32", "f16", "q8_0"]
MAX_DISTANCE = 128
"""Fixed in llama.cpp's T5 graph."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a unigram vocabulary; its index is its token id."""

    text: str
    score: float = 0.0
    type: TokenType = TokenType.NORMAL


_SELF = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_o"}
_CROSS = {"q": "cross_attn_q", "k": "cross_attn_k", "v": "cross_attn_v", "o": "cross_attn_o"}
_FEED_FORWARD = {"wi": "ffn_up", "wi_0": "ffn_gate", "wi_1": "ffn_up", "wo": "ffn_down"}


def write_t5_gguf(
    model: T5ForConditionalGeneration,
    pieces: list[Piece],
    path: Path,
    *,
    name: str = "tiny T5",
    context_length: int = 512,
    precision: Precision = "f32",
    charsmap: bytes = b"",
) -> None:
    """Write model and vocabulary to `path`. `charsmap` is SentencePiece's compiled normaliser."""
    config = model.config
    if config.relative_attention_max_distance != MAX_DISTANCE:
        raise ValueError(f"llama.cpp's position buckets end at {MAX_DISTANCE}")
    if config.num_decoder_layers > config.num_layers:
        raise ValueError("llama.cpp wants no more decoder layers than encoder layers")
    if len(pieces) > config.vocab_size:
        raise ValueError(f"{len(pieces)} pieces, but the model knows {config.vocab_size}")
    writer = gguf.GGUFWriter(path, "t5")
    _write_shape(writer, config, name, context_length, precision)
    _write_vocabulary(writer, config, pieces, charsmap)
    for tensor_name, tensor in _tensors(model):
        _write_tensor(writer, tensor_name, tensor, precision)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(
    writer: gguf.GGUFWriter, config: T5Config, name: str, context: int, precision: Precision
) -> None:
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.num_layers)
    writer.add_decoder_block_count(config.num_decoder_layers)
    writer.add_head_count(config.num_heads)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    writer.add_decoder_start_token_id(config.decoder_start_token_id)
    file_type = {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
    }
    writer.add_file_type(file_type[precision])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_vocabulary(
    writer: gguf.GGUFWriter, config: T5Config, pieces: list[Piece], charsmap: bytes
) -> None:
    unused = range(len(pieces), config.vocab_size)
    rows = pieces + [Piece(f"[PAD{i}]", -1000.0, TokenType.UNUSED) for i in unused]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([row.text for row in rows])
    writer.add_token_scores([float(row.score) for row in rows])
    writer.add_token_types([int(row.type) for row in rows])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    if charsmap:
        writer.add_precompiled_charsmap(charsmap)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_unk_token_id(next(i for i, r in enumerate(rows) if r.type == TokenType.UNKNOWN))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)


def _tensors(model: T5ForConditionalGeneration) -> Iterator[tuple[str, torch.Tensor]]:
    config = model.config
    yield "token_embd.weight", model.shared.weight
    # Asked of the weights: transformers 5 sets `tie_word_embeddings` for every T5 it loads.
    if model.lm_head.weight.data_ptr() != model.shared.weight.data_ptr():
        yield "output.weight", model.lm_head.weight
    yield "enc.output_norm.weight", model.encoder.final_layer_norm.weight
    scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
    yield "dec.output_norm.weight", model.decoder.final_layer_norm.weight * scale
    for side, stack in (("enc", model.encoder), ("dec", model.decoder)):
        for number, block in enumerate(stack.block):
            for tensor_name, tensor in _block(block):
                yield f"{side}.blk.{number}.{tensor_name}.weight", tensor


def _block(block: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    attention, *cross, feed_forward = block.layer
    yield "attn_norm", attention.layer_norm.weight
    for short, long in _SELF.items():
        yield long, getattr(attention.SelfAttention, short).weight
    if attention.SelfAttention.has_relative_attention_bias:
        yield "attn_rel_b", attention.SelfAttention.relative_attention_bias.weight
    for layer in cross:
        yield "cross_attn_norm", layer.layer_norm.weight
        for short, long in _CROSS.items():
            yield long, getattr(layer.EncDecAttention, short).weight
    yield "ffn_norm", feed_forward.layer_norm.weight
    for short, long in _FEED_FORWARD.items():
        if hasattr(feed_forward.DenseReluDense, short):
            yield long, getattr(feed_forward.DenseReluDense, short).weight


def _write_tensor(
    writer: gguf.GGUFWriter, name: str, tensor: torch.Tensor, precision: Precision
) -> None:
    values = tensor.detach().to(torch.float32).numpy()
    if values.ndim == 1 or name.endswith("attn_rel_b.weight") or precision == "f32":
        writer.add_tensor(name, np.ascontiguousarray(values))
    elif precision == "f16":
        writer.add_tensor(name, np.ascontiguousarray(values.astype(np.float16)))
    else:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
