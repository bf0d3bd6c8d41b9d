"""ModernBERT sequence classifiers.

llama.cpp averages the last layer, then computes ``cls`` -> GELU -> ``cls.norm`` -> ``cls.output``,
with an epsilon of its own and no bias in the norm. So a checkpoint must have been trained with
``classifier_pooling="mean"``; one that reads the first token would get other scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from converters.convert.checkpoint import Checkpoint
from converters.convert.classifier import head_values, labels_of
from converters.convert.guard_config import GuardConfig
from converters.convert.source import Source, Tensor, Value, tensor
from converters.convert.tokenizer_files import read_tokenizer_files
from converters.convert.vocabulary import byte_level_bpe

_PLAIN = ("norm_bias", "attention_bias", "mlp_bias")
_ACTIVATIONS = ("hidden_activation", "classifier_activation")


def modern_bert(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
    """A ModernBertForSequenceClassification. Raises ConversionError."""
    _refuse_unsupported(checkpoint)
    labels = labels_of(checkpoint, guard)
    every, local, whole = _attention(checkpoint)
    files = read_tokenizer_files(checkpoint.folder)
    key = "modern-bert"
    values: dict[str, Value] = {
        f"{key}.context_length": checkpoint.number("max_position_embeddings", 8192),
        f"{key}.embedding_length": checkpoint.number("hidden_size"),
        f"{key}.feed_forward_length": checkpoint.number("intermediate_size"),
        f"{key}.block_count": checkpoint.number("num_hidden_layers"),
        f"{key}.attention.head_count": checkpoint.number("num_attention_heads"),
        f"{key}.attention.layer_norm_epsilon": checkpoint.real("norm_eps", 1e-5),
        f"{key}.attention.sliding_window": checkpoint.number("local_attention", 128),
        f"{key}.attention.sliding_window_pattern": every,
        f"{key}.rope.freq_base": whole,
        f"{key}.rope.freq_base_swa": local,
        f"{key}.rope.scaling.type": "none",
    }
    values |= head_values(key, labels)
    vocabulary = byte_level_bpe(files, "gpt-2")
    values |= vocabulary.values(files, checkpoint.number("vocab_size"), bos=True, eos=True)
    tensors = list(_tensors(checkpoint, len(labels)))
    checkpoint.require_all_taken()
    return Source(key, "classifier", values, tensors, labels)


def _refuse_unsupported(checkpoint: Checkpoint) -> None:
    if checkpoint.text("classifier_pooling", "cls") != "mean":
        raise checkpoint.wrong(
            "classifier_pooling",
            'llama.cpp averages over the tokens, and this classifier reads the first one ("cls")',
            'Train it with classifier_pooling = "mean".',
        )
    for key in _PLAIN:
        if checkpoint.flag(key, False):
            raise checkpoint.wrong(key, "llama.cpp has no place for it")
    for key in _ACTIVATIONS:
        if checkpoint.text(key, "gelu") != "gelu":
            raise checkpoint.wrong(key, 'llama.cpp computes "gelu" alone')


def _attention(checkpoint: Checkpoint) -> tuple[int, float, float]:
    """Every how many layers all tokens are seen, and the bases of the rotary embedding.

    transformers 5 writes `layer_types` and `rope_parameters`, its earlier versions single numbers.
    """
    parameters = checkpoint.config.get("rope_parameters")
    if isinstance(parameters, dict):
        local = _theta(checkpoint, parameters, "sliding_attention")
        whole = _theta(checkpoint, parameters, "full_attention")
    else:
        local = checkpoint.real("local_rope_theta", 10_000.0)
        whole = checkpoint.real("global_rope_theta", 160_000.0)
    types = checkpoint.config.get("layer_types")
    count = checkpoint.number("num_hidden_layers")
    if not isinstance(types, list):
        return checkpoint.number("global_attn_every_n_layers", 3), local, whole
    full = [number for number, kind in enumerate(types) if kind == "full_attention"]
    every = full[1] if len(full) > 1 else max(count, 2)
    if full != list(range(0, count, every)):
        raise checkpoint.wrong(
            "layer_types", "the layers that see all tokens are not evenly spaced"
        )
    return every, local, whole


def _theta(checkpoint: Checkpoint, parameters: Mapping[str, Any], kind: str) -> float:
    entry = parameters.get(kind)
    theta = entry.get("rope_theta") if isinstance(entry, dict) else None
    if not isinstance(theta, int | float):
        raise checkpoint.wrong(f"rope_parameters.{kind}", "names no rope_theta")
    return float(theta)


def _tensors(checkpoint: Checkpoint, labels: int) -> Iterator[Tensor]:
    width, inner = checkpoint.number("hidden_size"), checkpoint.number("intermediate_size")

    def take(theirs: str, ours: str, *shape: int, embedding: bool = False) -> Tensor:
        return tensor(ours, checkpoint.weight(theirs, shape), embedding=embedding)

    size = checkpoint.number("vocab_size")
    table = "model.embeddings.tok_embeddings.weight"
    yield take(table, "token_embd.weight", size, width, embedding=True)
    yield take("model.embeddings.norm.weight", "token_embd_norm.weight", width)
    yield take("model.final_norm.weight", "output_norm.weight", width)
    for number in range(checkpoint.number("num_hidden_layers")):
        theirs, ours = f"model.layers.{number}", f"blk.{number}"
        if number:  # the first layer has the identity instead
            yield take(f"{theirs}.attn_norm.weight", f"{ours}.attn_norm.weight", width)
        yield take(f"{theirs}.attn.Wqkv.weight", f"{ours}.attn_qkv.weight", 3 * width, width)
        yield take(f"{theirs}.attn.Wo.weight", f"{ours}.attn_output.weight", width, width)
        yield take(f"{theirs}.mlp_norm.weight", f"{ours}.ffn_norm.weight", width)
        yield take(f"{theirs}.mlp.Wi.weight", f"{ours}.ffn_up.weight", 2 * inner, width)
        yield take(f"{theirs}.mlp.Wo.weight", f"{ours}.ffn_down.weight", width, inner)
    yield take("head.dense.weight", "cls.weight", width, width)
    if checkpoint.flag("classifier_bias", False):
        yield take("head.dense.bias", "cls.bias", width)
    yield take("head.norm.weight", "cls.norm.weight", width)
    yield take("classifier.weight", "cls.output.weight", labels, width)
    yield take("classifier.bias", "cls.output.bias", labels)
