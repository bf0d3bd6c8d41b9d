"""Legacy LLaMA `.bin` files to GGUF: tensors are copied bit by bit, the vocabulary is rewritten.

Metadata that the old formats lack is LLaMA's: 2,048 tokens of context and an epsilon of 1e-6. The
result is loaded and run once; there is no original in PyTorch to hold it against, so it is marked
as unverified.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from converters.convert.convert import Converted, Options, Watcher
from converters.convert.legacy_file import LegacyFile, LegacyTensor, read_legacy
from converters.convert.probe import ask
from converters.convert.source import Value
from converters.convert.vocabulary import BYTE, CONTROL, NORMAL, SPACE, UNKNOWN
from converters.convert.writer import put
from converters.errors import ConversionError
from converters.provenance import replacing

_CONTEXT = 2048
_EPSILON = 1e-6
_FIRST_PIECE = 259
"""LLaMA's vocabulary: three special tokens, 256 bytes, then pieces in the order of their merges."""
_SPECIAL = (("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL))
_PIECE = 2**24
_OUTER = {
    "tok_embeddings.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "output.weight": "output.weight",
}
_LAYER = {
    "attention.wq": "attn_q",
    "attention.wk": "attn_k",
    "attention.wv": "attn_v",
    "attention.wo": "attn_output",
    "attention_norm": "attn_norm",
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w2": "ffn_down",
    "feed_forward.w3": "ffn_up",
    "ffn_norm": "ffn_norm",
}


def convert_legacy(path: Path, out: Path, options: Options, watcher: Watcher) -> Converted:
    """Convert a file; its types are kept. Raises ConversionError."""
    if options.sample is not None or options.embeddings is not None:
        raise ConversionError(
            "--sample and --embeddings-quant do not go with a legacy file.",
            "Its tensors are copied as they are.",
        )
    legacy = read_legacy(path)
    if out.is_dir():
        out /= f"{path.stem}.gguf"
    shapes = _renamed(legacy)
    with replacing(out) as part:
        _write(part, legacy, shapes, watcher)
        watcher.say("running the file with llama.cpp")
        found = ask(part, "causal", inputs=[[1, min(3, len(legacy.vocab) - 1)]])
        _require_finite(part, found.logits)
    notices = [f"{legacy.form}: the types of the tensors are kept, --quant has no meaning here"]
    if legacy.vocab and legacy.vocab[0][1] is None:
        notices.append("GGML files hold no token scores: those of LLaMA's own vocabulary are used")
    return Converted(out, None, False, notices)


def _renamed(legacy: LegacyFile) -> dict[str, LegacyTensor]:
    """The tensors by their names in GGUF, all of them and of the right shapes."""
    width, words = legacy.embd, len(legacy.vocab)
    first = legacy.tensors.get("layers.0.feed_forward.w1.weight")
    inner = first.shape[0] if first else 0
    shapes: dict[str, tuple[int, ...]] = {
        "tok_embeddings.weight": (words, width),
        "norm.weight": (width,),
        "output.weight": (words, width),
    }
    inside = {"w1": (inner, width), "w2": (width, inner), "w3": (inner, width)}
    names = dict(_OUTER)
    for number in range(legacy.layer):
        for theirs, ours in _LAYER.items():
            name = f"layers.{number}.{theirs}.weight"
            names[name] = f"blk.{number}.{ours}.weight"
            last = theirs.rpartition(".")[2]
            shapes[name] = (width,) if "norm" in theirs else inside.get(last, (width, width))
    missing = sorted(set(names) - set(legacy.tensors))
    extra = sorted(set(legacy.tensors) - set(names))
    if missing or extra:
        what = f"has no {missing[0]}" if missing else f"has a tensor {extra[0][:80]!r}"
        raise ConversionError(f"{legacy.path} {what}, so it is no LLaMA of {legacy.layer} layers.")
    for name, shape in shapes.items():
        if legacy.tensors[name].shape != shape:
            raise ConversionError(
                f"{legacy.path}: {name} has the shape {list(legacy.tensors[name].shape)}, not"
                f" {list(shape)}."
            )
    return {names[name]: legacy.tensors[name] for name in names}


def _write(
    part: Path, legacy: LegacyFile, tensors: dict[str, LegacyTensor], watcher: Watcher
) -> None:
    import gguf

    writer = gguf.GGUFWriter(part, "llama")
    size = sum(one.size for one in tensors.values())
    try:
        for key, value in (_values(legacy, tensors) | _vocabulary(legacy)).items():
            put(writer, key, value)
        for name, one in tensors.items():
            kind = gguf.GGMLQuantizationType[one.type.upper()]
            writer.add_tensor_info(name, one.shape, None, one.size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        file = writer.fout[0]
        writer.write_padding(file, file.tell())
        with legacy.path.open("rb") as stream, watcher.writing(legacy.form, size) as on_bytes:
            for one in tensors.values():
                stream.seek(one.start, os.SEEK_SET)
                left = one.size
                while left:
                    data = stream.read(min(_PIECE, left))
                    if not data:
                        raise ConversionError(f"{legacy.path}: {one.name} ends early.")
                    file.write(data)
                    left -= len(data)
                    on_bytes(len(data))
                writer.write_padding(file, one.size)
    finally:
        writer.close()


def _values(legacy: LegacyFile, tensors: dict[str, LegacyTensor]) -> dict[str, Value]:
    types = {one.type for one in tensors.values() if len(one.shape) > 1}
    numbers = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9}
    name = re.sub(r"[^A-Za-z0-9._-]+", " ", legacy.path.stem).strip() or "LLaMA"
    return {
        "general.type": "model",
        "general.name": name,
        "general.file_type": max(numbers[one] for one in types),
        "general.quantization_version": 2,
        "oa_chat.verified": False,
        "llama.context_length": _CONTEXT,
        "llama.embedding_length": legacy.embd,
        "llama.block_count": legacy.layer,
        "llama.feed_forward_length": tensors["blk.0.ffn_gate.weight"].shape[0],
        "llama.rope.dimension_count": legacy.rot,
        "llama.attention.head_count": legacy.head,
        "llama.attention.head_count_kv": legacy.head,
        "llama.attention.layer_norm_rms_epsilon": _EPSILON,
        "llama.vocab_size": len(legacy.vocab),
    }


def _vocabulary(legacy: LegacyFile) -> dict[str, Value]:
    """Old files hold the text of a token: bytes as themselves, and blanks as blanks."""
    tokens: list[str] = []
    types: list[int] = []
    scores: list[float] = []
    for number, (data, score) in enumerate(legacy.vocab):
        if number < len(_SPECIAL):
            text, kind = _SPECIAL[number]
        elif number < _FIRST_PIECE and len(data) == 1:
            text, kind = f"<0x{data[0]:02X}>", BYTE
        else:
            text, kind = data.decode("utf-8", "replace").replace(" ", SPACE), NORMAL
        tokens.append(text)
        types.append(kind)
        known = score if score is not None else -float(max(0, number - _FIRST_PIECE))
        scores.append(known)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }


def _require_finite(path: Path, logits: object) -> None:
    import numpy as np

    if not np.isfinite(np.asarray(logits)).all():
        raise ConversionError(f"{path.name}: llama.cpp computes no finite numbers with it.")
