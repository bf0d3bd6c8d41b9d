"""A tiny classifier as a checkpoint and as a GGUF file of the same weights, and small sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from oa_chat.verdict import LABELS
from tests.models.tiny_bert import SPECIAL, write_bert_gguf

WORDS = [
    *(".", ",", "!", "?", ":", "i", "you", "like", "hate", "hurt", "bread", "tea", "the", "a"),
    *("my", "friend", "knife", "cut", "people", "all", "want", "to", "user", "assistant", "hello"),
    *("morning", "garden", "burn", "house", "down", "slowly", "gently", "today", "never", "we"),
]
WriteRows = Callable[[str, Sequence[dict[str, Any]]], Path]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers whose answers differ from message to message."""
    folder = tmp_path_factory.mktemp("guards") / "tiny-checkpoint"
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: at for at, label in enumerate(LABELS)},
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6.0)  # untrained weights are small, and all answers alike
        model.classifier.weight.mul_(4.0)
    model.save_pretrained(folder)
    vocabulary = {word: at for at, word in enumerate([*SPECIAL, *WORDS])}
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    (folder / "oa_chat.json").write_text(json.dumps({"max_tokens": 64}))
    return folder


@pytest.fixture(scope="session")
def gguf_guard(checkpoint: Path) -> Path:
    """The same weights for llama.cpp."""
    path = checkpoint.parent / "tiny-guard.gguf"
    model = BertForSequenceClassification.from_pretrained(checkpoint)
    write_bert_gguf(model, WORDS, list(LABELS), path, max_tokens=64)
    return path


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes a JSON Lines file."""

    def write(name: str, rows: Sequence[dict[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def small_set(write_rows: WriteRows) -> Path:
    """Twenty messages, half of them harmful, with levels."""
    harmless = ["i like tea", "hello my friend", "we cut the bread", "good morning garden"]
    harmful = ["i hate you", "burn my house down", "i want to hurt people", "hurt my friend"]
    rows = []
    for at in range(20):
        bad = at % 2 == 1
        text = (harmful if bad else harmless)[at // 2 % 4] + " today" * (at // 8)
        label = LABELS[1 + at % 4] if bad else LABELS[0]
        rows.append(
            {"text": text, "label": label, "unsafe": bad, "lang": "en", "category": text[:2]}
        )
    return write_rows("small.jsonl", rows)
