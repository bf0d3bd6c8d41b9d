"""LlamaForCausalLM with a SentencePiece BPE tokenizer: the chat models that `oa-chat train` makes.

transformers keeps the halves of a head's rotary pairs apart and llama.cpp side by side, so the rows
of the query and key matrices change places. Llamas with other tokenizers, scaled positions or
biases go through `--llama-cpp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from converters.convert.checkpoint import Checkpoint, Stored
from converters.convert.guard_config import GuardConfig
from converters.convert.source import Source, Tensor, Value, tensor
from converters.convert.tokenizer_files import read_tokenizer_files
from converters.convert.vocabulary import sentence_piece_bpe

if TYPE_CHECKING:
    import numpy as np


def llama(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
    """A LlamaForCausalLM. Raises ConversionError."""
    heads = checkpoint.number("num_attention_heads")
    per_head = checkpoint.number("head_dim", checkpoint.number("hidden_size") // max(1, heads))
    size = checkpoint.number("vocab_size")
    values: dict[str, Value] = {
        "llama.block_count": checkpoint.number("num_hidden_layers"),
        "llama.context_length": guard.max_tokens or checkpoint.number("max_position_embeddings"),
        "llama.embedding_length": checkpoint.number("hidden_size"),
        "llama.feed_forward_length": checkpoint.number("intermediate_size"),
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": checkpoint.number("num_key_value_heads", heads),
        "llama.rope.freq_base": _rope_theta(checkpoint),
        "llama.attention.layer_norm_rms_epsilon": checkpoint.real("rms_norm_eps", 1e-6),
        "llama.attention.key_length": per_head,
        "llama.attention.value_length": per_head,
        "llama.vocab_size": size,
        "llama.rope.dimension_count": per_head,
    }
    files = read_tokenizer_files(checkpoint.folder)
    vocabulary = sentence_piece_bpe(files)
    values |= vocabulary.values(files, size, bos=False, eos=False)
    end = checkpoint.config.get("eos_token_id")
    if "tokenizer.ggml.eos_token_id" not in values and type(end) is int:
        values["tokenizer.ggml.eos_token_id"] = checkpoint.number("eos_token_id")
    if files.chat_template:
        values["tokenizer.chat_template"] = files.chat_template
    tensors = list(_tensors(checkpoint, size, per_head))
    checkpoint.require_all_taken(r".*rotary_emb\.inv_freq|lm_head\.weight")
    return Source("llama", "causal", values, tensors)


def _rope_theta(checkpoint: Checkpoint) -> float:
    """The base of the rotary embedding; only the plain form is supported."""
    other = "Convert it with --llama-cpp."
    if checkpoint.text("hidden_act", "silu") != "silu":
        raise checkpoint.wrong("hidden_act", 'only "silu" is supported', other)
    for key in ("attention_bias", "mlp_bias"):
        if checkpoint.flag(key, False):
            raise checkpoint.wrong(key, "biases are not supported here", other)
    for key in ("rope_parameters", "rope_scaling"):
        entry = checkpoint.config.get(key)
        if not isinstance(entry, dict):
            continue
        if entry.get("rope_type", entry.get("type", "default")) != "default":
            raise checkpoint.wrong(key, "only the plain rotary embedding is supported", other)
        if isinstance(entry.get("rope_theta"), int | float):
            return float(entry["rope_theta"])
    return checkpoint.real("rope_theta", 10_000.0)


def _tensors(checkpoint: Checkpoint, size: int, per_head: int) -> Iterator[Tensor]:
    width, inner = checkpoint.number("hidden_size"), checkpoint.number("intermediate_size")
    heads = checkpoint.number("num_attention_heads")
    groups = checkpoint.number("num_key_value_heads", heads)
    across, beside = heads * per_head, groups * per_head

    def take(theirs: str, ours: str, *shape: int, embedding: bool = False) -> Tensor:
        stored = checkpoint.weight(f"{theirs}.weight", shape)
        return tensor(f"{ours}.weight", stored, embedding=embedding)

    yield take("model.norm", "output_norm", width)
    yield take("model.embed_tokens", "token_embd", size, width, embedding=True)
    if "lm_head.weight" in checkpoint.weights and not checkpoint.flag("tie_word_embeddings", False):
        yield take("lm_head", "output", size, width)
    for number in range(checkpoint.number("num_hidden_layers")):
        theirs, ours = f"model.layers.{number}", f"blk.{number}"
        for short, rows in (("q", across), ("k", beside)):
            name = f"{theirs}.self_attn.{short}_proj.weight"
            stored = checkpoint.weight(name, (rows, width))
            yield _paired(f"{ours}.attn_{short}.weight", stored, per_head)
        yield take(f"{theirs}.self_attn.v_proj", f"{ours}.attn_v", beside, width)
        yield take(f"{theirs}.self_attn.o_proj", f"{ours}.attn_output", width, across)
        yield take(f"{theirs}.input_layernorm", f"{ours}.attn_norm", width)
        yield take(f"{theirs}.post_attention_layernorm", f"{ours}.ffn_norm", width)
        yield take(f"{theirs}.mlp.gate_proj", f"{ours}.ffn_gate", inner, width)
        yield take(f"{theirs}.mlp.up_proj", f"{ours}.ffn_up", inner, width)
        yield take(f"{theirs}.mlp.down_proj", f"{ours}.ffn_down", width, inner)


def _paired(name: str, stored: Stored, per_head: int) -> Tensor:
    """A query or key matrix with the rotary pairs side by side."""

    def read(first: int, end: int) -> np.ndarray:
        # Rows change places within a head only, so whole heads are read.
        start = first // per_head * per_head
        stop = -(-end // per_head) * per_head
        rows = stored.rows(start, stop)
        width = rows.shape[1]
        pairs = rows.reshape(-1, 2, per_head // 2, width).swapaxes(1, 2).reshape(-1, width)
        return pairs[first - start : end - start]

    return Tensor(name, stored.shape, read)
