"""BERT, RoBERTa and XLM-R sequence classifiers with their heads.

llama.cpp computes ``cls`` -> tanh -> ``cls.output`` on the first token. BERT's pooler is the former
and its classifier the latter; leaving the pooler out, as the usual script does, gives other scores.
RoBERTa's head is of the same form. Its positions start at pad_token_id + 1, so that many rows of
the table are left out. llama.cpp takes the token type 0 for every token: a guard has to be trained
that way.
"""

from __future__ import annotations

from collections.abc import Iterator

from converters.convert.checkpoint import Checkpoint
from converters.convert.classifier import head_values, labels_of
from converters.convert.guard_config import GuardConfig
from converters.convert.source import Source, Tensor, Value, tensor
from converters.convert.tokenizer_files import TokenizerFiles, read_tokenizer_files
from converters.convert.vocabulary import Vocabulary, byte_level_bpe, unigrams, word_pieces

_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_IGNORED = r"(bert|roberta)\.embeddings\.(position_ids|token_type_ids)|roberta\.pooler\..*"


def bert(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
    """A BertForSequenceClassification. Raises ConversionError."""
    files = read_tokenizer_files(checkpoint.folder)
    head = [("bert.pooler.dense", "cls"), ("classifier", "cls.output")]
    return _source(checkpoint, guard, "bert", files, word_pieces(files), head)


def roberta(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
    """A RobertaForSequenceClassification or XLMRobertaForSequenceClassification."""
    files = read_tokenizer_files(checkpoint.folder)
    sentences = "XLM" in checkpoint.class_name
    vocabulary = unigrams(files) if sentences else byte_level_bpe(files, "roberta-bpe")
    head = [("classifier.dense", "cls"), ("classifier.out_proj", "cls.output")]
    return _source(checkpoint, guard, "roberta", files, vocabulary, head)


def _source(
    checkpoint: Checkpoint,
    guard: GuardConfig,
    prefix: str,
    files: TokenizerFiles,
    vocabulary: Vocabulary,
    head: list[tuple[str, str]],
) -> Source:
    if checkpoint.text("position_embedding_type", "absolute") != "absolute":
        raise checkpoint.wrong("position_embedding_type", 'only "absolute" is supported')
    if checkpoint.text("hidden_act", "gelu") != "gelu":
        raise checkpoint.wrong("hidden_act", 'llama.cpp computes "gelu" alone')
    skip = checkpoint.number("pad_token_id", 1) + 1 if prefix == "roberta" else 0
    labels = labels_of(checkpoint, guard)
    values: dict[str, Value] = {
        "bert.context_length": checkpoint.number("max_position_embeddings") - skip,
        "bert.embedding_length": checkpoint.number("hidden_size"),
        "bert.feed_forward_length": checkpoint.number("intermediate_size"),
        "bert.block_count": checkpoint.number("num_hidden_layers"),
        "bert.attention.head_count": checkpoint.number("num_attention_heads"),
        "bert.attention.layer_norm_epsilon": checkpoint.real("layer_norm_eps", 1e-12),
    }
    values |= head_values("bert", labels)
    size = checkpoint.number("vocab_size")
    values |= vocabulary.values(files, size, bos=True, eos=True)
    values["tokenizer.ggml.token_type_count"] = checkpoint.number("type_vocab_size", 2)
    if prefix == "roberta":
        values["oa_chat.separators"] = 2
    tensors = list(_tensors(checkpoint, prefix, skip, head, len(labels)))
    checkpoint.require_all_taken(_IGNORED)
    return Source("bert", "classifier", values, tensors, labels)


def _tensors(
    checkpoint: Checkpoint, prefix: str, skip: int, head: list[tuple[str, str]], labels: int
) -> Iterator[Tensor]:
    width, inner = checkpoint.number("hidden_size"), checkpoint.number("intermediate_size")
    place = f"{prefix}.embeddings"
    words = checkpoint.weight(
        f"{place}.word_embeddings.weight", (checkpoint.number("vocab_size"), width)
    )
    yield tensor("token_embd.weight", words, embedding=True)
    positions = (checkpoint.number("max_position_embeddings"), width)
    table = checkpoint.weight(f"{place}.position_embeddings.weight", positions)
    yield tensor("position_embd.weight", table, skip=skip, keep=True)
    types = (checkpoint.number("type_vocab_size", 2), width)
    kinds = checkpoint.weight(f"{place}.token_type_embeddings.weight", types)
    yield tensor("token_types.weight", kinds, keep=True)
    yield from _both(checkpoint, f"{place}.LayerNorm", "token_embd_norm", (width,))
    shapes = {"intermediate.dense": (inner, width), "output.dense": (width, inner)}
    for number in range(checkpoint.number("num_hidden_layers")):
        for theirs, ours in _LAYER.items():
            shape = (width,) if theirs.endswith("LayerNorm") else shapes.get(theirs, (width, width))
            name = f"{prefix}.encoder.layer.{number}.{theirs}"
            yield from _both(checkpoint, name, f"blk.{number}.{ours}", shape)
    for (theirs, ours), shape in zip(head, [(width, width), (labels, width)], strict=True):
        yield from _both(checkpoint, theirs, ours, shape)


def _both(
    checkpoint: Checkpoint, theirs: str, ours: str, shape: tuple[int, ...]
) -> Iterator[Tensor]:
    yield tensor(f"{ours}.weight", checkpoint.weight(f"{theirs}.weight", shape))
    yield tensor(f"{ours}.bias", checkpoint.weight(f"{theirs}.bias", shape[:1]))
