"""The embedded guard's weights in transformers and PyTorch, in a process of its own.

    python -m benchmarks.guard_in_torch MODEL < texts.json

Takes a JSON list of texts. Prints JSON: `batched` and `single`, each with `cpu_ms` and `wall_ms` of
judging them all, tokenising included and loading not, and each text's most probable label's number.
One thread, as the guard has; F32, since the weights are dequantised.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

_BATCH, _LONGEST = 32, 128
_LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
_REST = {
    "token_embd": "bert.embeddings.word_embeddings",
    "position_embd": "bert.embeddings.position_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings",
    "token_embd_norm": "bert.embeddings.LayerNorm",
    "cls": "bert.pooler.dense",
    "cls.output": "classifier",
}


def main(path: str) -> None:
    texts = json.load(sys.stdin)
    torch.set_num_threads(1)
    reader = gguf.GGUFReader(path)
    model, tokenizer = _model(reader), _tokenizer(reader)
    _judge(model, tokenizer, texts[:_BATCH], _BATCH)
    print(
        json.dumps(
            {
                "batched": _timed(model, tokenizer, texts, _BATCH),
                "single": _timed(model, tokenizer, texts, 1),
            }
        )
    )


def _timed(model: Any, tokenizer: Any, texts: list[str], size: int) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    labels = _judge(model, tokenizer, texts, size)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu_ms": cpu * 1000, "wall_ms": wall * 1000, "labels": labels}


def _judge(model: Any, tokenizer: Any, texts: list[str], size: int) -> list[int]:
    """In order of length, so that batches need little padding."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    found = [0] * len(texts)
    with torch.inference_mode():
        for start in range(0, len(order), size):
            group = order[start : start + size]
            inputs = tokenizer(
                [texts[at] for at in group],
                padding=True,
                truncation=True,
                max_length=_LONGEST,
                return_tensors="pt",
            )
            for at, label in zip(group, model(**inputs).logits.argmax(1).tolist(), strict=True):
                found[at] = label
    return found


def _model(reader: Any) -> BertForSequenceClassification:
    def value(key: str) -> Any:
        return reader.fields[f"bert.{key}"].contents()

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = BertConfig(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
        hidden_size=value("embedding_length"),
        num_hidden_layers=value("block_count"),
        num_attention_heads=value("attention.head_count"),
        intermediate_size=value("feed_forward_length"),
        max_position_embeddings=value("context_length"),
        layer_norm_eps=value("attention.layer_norm_epsilon"),
        type_vocab_size=int(tensors["token_types.weight"].shape[1]),
        num_labels=int(tensors["cls.output.bias"].shape[0]),
    )
    model = BertForSequenceClassification(config).eval()
    weights = {
        _name(name): torch.from_numpy(
            gguf.dequantize(tensor.data, tensor.tensor_type).copy()
        ).float()
        for name, tensor in tensors.items()
    }
    missing = model.load_state_dict(weights, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"bert.embeddings.position_ids"}:
        raise SystemExit(f"the weights do not fit: {missing}")
    return model


def _name(name: str) -> str:
    base, _, kind = name.rpartition(".")
    if base.startswith("blk."):
        _, number, part = base.split(".", 2)
        return f"bert.encoder.layer.{number}.{_LAYER[part]}.{kind}"
    return f"{_REST[base]}.{kind}"


def _tokenizer(reader: Any) -> BertTokenizerFast:
    """Word pieces as BERT's files have them: llama.cpp marks starts of words, not continuations."""
    words = []
    for token in reader.fields["tokenizer.ggml.tokens"].contents():
        special = token.startswith("[") and token.endswith("]")
        words.append(token[1:] if token.startswith("▁") else token if special else f"##{token}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(words) + "\n", encoding="utf-8")
        return BertTokenizerFast(str(file), do_lower_case=True)


if __name__ == "__main__":
    main(sys.argv[1])
