"""Writes a transformers BERT classifier as the GGUF that llama.cpp reads.

It exists so that the classifier engine can be tested against PyTorch. The pooler's matrix becomes
``cls`` and the classifier's ``cls.output``: a file without the pooler gives other scores. It does
not read checkpoints or tokenizer files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import LlamaFileType, PoolingType, TokenType
from transformers import BertForSequenceClassification

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
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


def write_bert_gguf(
    model: BertForSequenceClassification,
    words: list[str],
    labels: list[str],
    path: Path,
    max_tokens: int = 0,
    temperature: float = 0.0,
) -> None:
    """Write a model with the vocabulary `SPECIAL` + `words` (word pieces: ``##ing``)."""
    config = model.config
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny BERT")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.RANK)
    writer.add_classifier_output_labels(labels)
    writer.add_file_type(LlamaFileType.ALL_F32)
    if max_tokens:
        writer.add_uint32("oa_chat.max_tokens", max_tokens)
    if temperature:
        writer.add_float32("oa_chat.temperature", temperature)
    _write_vocabulary(writer, words)
    for name, tensor in _tensors(model):
        values = tensor.detach().to(torch.float32).numpy()
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_vocabulary(writer: gguf.GGUFWriter, words: list[str]) -> None:
    # llama.cpp marks the start of a word, not its continuation as BERT's own files do.
    tokens = [word[2:] if word.startswith("##") else "▁" + word for word in words]
    types = [TokenType.CONTROL] * len(SPECIAL) + [TokenType.NORMAL] * len(words)
    types[1] = TokenType.UNKNOWN
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(SPECIAL + tokens)
    writer.add_token_types([int(type_) for type_ in types])
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _tensors(model: BertForSequenceClassification) -> Iterator[tuple[str, torch.Tensor]]:
    embeddings = model.bert.embeddings
    yield "token_embd.weight", embeddings.word_embeddings.weight
    yield "position_embd.weight", embeddings.position_embeddings.weight
    yield "token_types.weight", embeddings.token_type_embeddings.weight
    yield from _both("token_embd_norm", embeddings.LayerNorm)
    for number, layer in enumerate(model.bert.encoder.layer):
        for theirs, ours in _LAYER.items():
            yield from _both(f"blk.{number}.{ours}", layer.get_submodule(theirs))
    yield from _both("cls", model.bert.pooler.dense)
    yield from _both("cls.output", model.classifier)


def _both(name: str, module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield f"{name}.weight", module.weight
    yield f"{name}.bias", module.bias
