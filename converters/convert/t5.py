"""The T5 family: t5 v1.0, v1.1 and flan (gated, untied), mT5 and ByT5.

What a plain copy of the tensors would miss:

* Tied models multiply the decoder's output by ``d_model**-0.5`` in transformers and not in
  llama.cpp, so the factor goes into ``dec.output_norm.weight``. Without it the logits are
  sqrt(d_model) too large: the same words, but wrong probabilities. Whether a model is tied is read
  from its weights, as transformers 5 sets `tie_word_embeddings` for every T5.
* llama.cpp's position buckets end at a distance of 128, and it cannot load a decoder with more
  layers than its encoder: such models are refused.
* What enters ``ffn_down`` can exceed float16 (transformers keeps `wo` in float32 for that reason).
"""

from __future__ import annotations

from collections.abc import Iterator

from converters.convert.checkpoint import Checkpoint
from converters.convert.guard_config import GuardConfig
from converters.convert.source import Source, Tensor, Value, tensor
from converters.convert.tokenizer_files import TokenizerFiles, read_tokenizer_files
from converters.convert.vocabulary import Vocabulary, bytes_only, unigrams

MAX_DISTANCE = 128
"""Fixed in llama.cpp's T5 graph."""
_CONTEXT = 512
_SELF = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_o"}
_GATES = ("relu", "gated-gelu")
_COPIES = r"(encoder|decoder)\.embed_tokens\.weight|lm_head\.weight"


def t5(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
    """A T5ForConditionalGeneration. Raises ConversionError."""
    layers = checkpoint.number("num_layers")
    decoder_layers = checkpoint.number("num_decoder_layers", layers)
    _refuse_unsupported(checkpoint, layers, decoder_layers)
    size = checkpoint.number("vocab_size")
    values: dict[str, Value] = {
        "t5.context_length": guard.max_tokens or _CONTEXT,
        "t5.embedding_length": checkpoint.number("d_model"),
        "t5.feed_forward_length": checkpoint.number("d_ff"),
        "t5.block_count": layers,
        "t5.decoder_block_count": decoder_layers,
        "t5.attention.head_count": checkpoint.number("num_heads"),
        "t5.attention.key_length": checkpoint.number("d_kv"),
        "t5.attention.value_length": checkpoint.number("d_kv"),
        "t5.attention.layer_norm_epsilon": checkpoint.real("layer_norm_epsilon", 1e-6),
        "t5.attention.layer_norm_rms_epsilon": checkpoint.real("layer_norm_epsilon", 1e-6),
        "t5.attention.relative_buckets_count": checkpoint.number("relative_attention_num_buckets"),
        "t5.decoder_start_token_id": checkpoint.number("decoder_start_token_id", 0),
    }
    files = read_tokenizer_files(checkpoint.folder)
    values |= _vocabulary(files).values(files, size, bos=False, eos=True)
    notices: list[str] = []
    tensors = list(_tensors(checkpoint, size, layers, decoder_layers))
    checkpoint.require_all_taken(_COPIES)
    if not any(one.name == "output.weight" for one in tensors):
        notices.append("tied embeddings: d_model**-0.5 was put into dec.output_norm.weight")
    return Source("t5", "seq2seq", values, tensors, notices=notices)


def _refuse_unsupported(checkpoint: Checkpoint, layers: int, decoder_layers: int) -> None:
    if checkpoint.number("relative_attention_max_distance", MAX_DISTANCE) != MAX_DISTANCE:
        raise checkpoint.wrong(
            "relative_attention_max_distance", f"llama.cpp knows {MAX_DISTANCE} alone"
        )
    if decoder_layers > layers:
        raise checkpoint.wrong(
            "num_decoder_layers",
            f"llama.cpp cannot load {decoder_layers} behind an encoder of {layers}",
            "Train a model with at least as many encoder layers.",
        )
    shape = checkpoint.text("feed_forward_proj", "relu")
    if shape not in _GATES:
        raise checkpoint.wrong("feed_forward_proj", f"{shape!r} is none of {', '.join(_GATES)}")


def _vocabulary(files: TokenizerFiles) -> Vocabulary:
    if files.class_name.startswith("ByT5"):
        return bytes_only(files, ["<pad>", "</s>", "<unk>"], 256)
    return unigrams(files)


def _tensors(
    checkpoint: Checkpoint, size: int, layers: int, decoder_layers: int
) -> Iterator[Tensor]:
    width = checkpoint.number("d_model")
    shared = "shared.weight"
    if shared not in checkpoint.weights:  # some files hold only a copy
        shared = "encoder.embed_tokens.weight"
    table = checkpoint.weight(shared, (size, width))
    yield tensor("token_embd.weight", table, embedding=True)
    tied = _is_tied(checkpoint, shared)
    if not tied:
        yield tensor("output.weight", checkpoint.weight("lm_head.weight", (size, width)))
    norm = "final_layer_norm.weight"
    yield tensor("enc.output_norm.weight", checkpoint.weight(f"encoder.{norm}", (width,)))
    yield tensor(
        "dec.output_norm.weight",
        checkpoint.weight(f"decoder.{norm}", (width,)),
        scale=width**-0.5 if tied else 1.0,
    )
    for number in range(layers):
        yield from _block(checkpoint, "encoder", number)
    for number in range(decoder_layers):
        yield from _block(checkpoint, "decoder", number)


def _is_tied(checkpoint: Checkpoint, shared: str) -> bool:
    """Whether the output matrix is the embedding table, by the numbers themselves."""
    head, table = checkpoint.weights.get("lm_head.weight"), checkpoint.weights[shared]
    if head is None:
        return True
    if head.shape != table.shape:
        return False
    step = max(1, 2**22 // max(1, table.shape[1]))
    return all(
        (head.rows(first, end) == table.rows(first, end)).all()
        for first in range(0, table.shape[0], step)
        for end in [min(first + step, table.shape[0])]
    )


def _block(checkpoint: Checkpoint, side: str, number: int) -> Iterator[Tensor]:
    width, inner = checkpoint.number("d_model"), checkpoint.number("d_ff")
    heads = checkpoint.number("num_heads")
    across = heads * checkpoint.number("d_kv")
    theirs, ours = f"{side}.block.{number}.layer", f"{side[:3]}.blk.{number}"

    def take(name: str, new: str, *shape: int, wide: bool = False, keep: bool = False) -> Tensor:
        stored = checkpoint.weight(f"{theirs}.{name}.weight", shape)
        return tensor(f"{ours}.{new}.weight", stored, wide=wide, keep=keep)

    shapes = dict.fromkeys("qkv", (across, width)) | {"o": (width, across)}
    yield take("0.layer_norm", "attn_norm", width)
    for short, long in _SELF.items():
        yield take(f"0.SelfAttention.{short}", long, *shapes[short])
    if number == 0:
        buckets = checkpoint.number("relative_attention_num_buckets")
        bias = "0.SelfAttention.relative_attention_bias"
        yield take(bias, "attn_rel_b", buckets, heads, keep=True)
    last = 1
    if side == "decoder":
        last = 2
        yield take("1.layer_norm", "cross_attn_norm", width)
        for short, long in _SELF.items():
            yield take(f"1.EncDecAttention.{short}", f"cross_{long}", *shapes[short])
    yield take(f"{last}.layer_norm", "ffn_norm", width)
    gated = checkpoint.text("feed_forward_proj", "relu").startswith("gated")
    ups = {"wi_0": "ffn_gate", "wi_1": "ffn_up"} if gated else {"wi": "ffn_up"}
    for short, long in ups.items():
        yield take(f"{last}.DenseReluDense.{short}", long, inner, width)
    yield take(f"{last}.DenseReluDense.wo", "ffn_down", width, inner, wide=True)
