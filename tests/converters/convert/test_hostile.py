"""Checkpoints of strangers: nothing runs, nothing is read elsewhere, and errors name the place."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from converters.convert.checkpoint import read_checkpoint
from converters.convert.convert import Options, Watcher, convert_checkpoint
from converters.convert.safetensors_file import read_safetensors
from converters.errors import ConversionError
from tests.converters.convert import checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints.bert(tmp_path / "checkpoint")


def refused(folder: Path, match: str) -> None:
    """The conversion fails for this reason and leaves nothing behind."""
    out = folder.parent / "out" / "model.gguf"
    with pytest.raises(ConversionError, match=match):
        convert_checkpoint(folder, out, Options(verify=False), Watcher())
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_with_code_does_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    torch.save(
        {"classifier.weight": torch.zeros(5, 64), "x": _Bomb(mark)}, folder / "pytorch_model.bin"
    )
    refused(folder, "pytorch_model.bin cannot be loaded as mere weights")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Bomb(mark)))
    refused(folder, "pytorch_model.bin cannot be loaded as mere weights")
    assert not mark.exists()


def test_a_pickle_of_weights_alone_is_read(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.gguf"
    convert_checkpoint(folder, out, Options(verify=False), Watcher())
    tables = load_file(folder / "model.safetensors")
    torch.save(
        {name: torch.from_numpy(table) for name, table in tables.items()},
        folder / "pytorch_model.bin",
    )
    (folder / "model.safetensors").unlink()
    again = tmp_path / "two.gguf"
    convert_checkpoint(folder, again, Options(verify=False), Watcher())
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "..", "a/b.safetensors"])
def test_an_index_cannot_point_elsewhere(name: str, folder: Path) -> None:
    (folder.parent / "secret.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    refused(folder, "weight_map: .* is no plain file name")


def test_missing_shards_and_names_are_named(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}}))
    refused(folder, "model-00002-of-00002.safetensors is missing")
    index.write_text(json.dumps({"weight_map": {"not there": "model.safetensors"}}))
    refused(folder, "weight_map: not there is not in")
    index.write_text("{}")
    refused(folder, "weight_map is missing or empty")


def _header(path: Path, table: dict[str, Any], data: bytes = b"") -> None:
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}, "bytes of data"),
        ({"dtype": "F32", "shape": [-1, 2], "data_offsets": [0, 8]}, "impossible shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "impossible shape or place"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "truncated: a ends at byte"),
        ({"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}, "type F8_E4M3"),
        ({"dtype": "F32", "shape": "no", "data_offsets": [0, 8]}, "a: "),
    ],
)
def test_absurd_tensors_are_refused(entry: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    _header(path, {"a": entry}, b"1234")
    with pytest.raises(ConversionError, match=match):
        read_safetensors(path)


@pytest.mark.parametrize(
    "data", [b"", b"1234", struct.pack("<Q", 2**63), struct.pack("<Q", 3) + b"{,}"]
)
def test_broken_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ConversionError, match="model.safetensors"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("num_hidden_layers", 3, r"no bert.encoder.layer.2"),
        ("num_hidden_layers", 1, r"tensors have no place .*layer.1"),
        ("hidden_size", 32, r"word_embeddings.weight has the shape \[\d+, 64\]"),
        ("vocab_size", 10, "token"),
        ("hidden_size", -64, "config.json: hidden_size: -64 is out of range"),
        ("hidden_size", "64", "config.json: hidden_size: '64' is no int"),
        ("hidden_size", 2**70, "config.json"),
        ("num_attention_heads", None, "num_attention_heads: is missing"),
        ("id2label", {"0": "a", "2": "b"}, "id2label: its keys"),
        ("id2label", {"0": "a", "1": "a"}, "id2label: names a label twice"),
        ("id2label", {str(n): f"x{n}" for n in range(3)}, r"classifier.weight has the shape"),
        ("architectures", [], "architectures: names no model class"),
    ],
)
def test_config_and_weights_must_fit(key: str, value: Any, match: str, folder: Path) -> None:
    edited(folder / "config.json", lambda table: table.update({key: value}))
    refused(folder, match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda table: table["model"]["vocab"].update(new=10**9), "ids that make no sense"),
        (lambda table: table["model"].update(vocab=[]), "model.vocab: is missing"),
        (lambda table: table["model"].update(type="BPE"), "is not WordPiece"),
        (lambda table: table["added_tokens"].append({"id": 2**40, "content": "x"}), "added token"),
        (lambda table: table["added_tokens"].append({"id": 9000, "content": "x"}), "token 9000"),
        (lambda table: table["added_tokens"].append("x"), "added_tokens"),
    ],
)
def test_tokenizers_must_make_sense(
    change: Callable[[dict[str, Any]], None], match: str, folder: Path
) -> None:
    edited(folder / "tokenizer.json", change)
    refused(folder, match)


def test_labels_that_disagree_are_refused(folder: Path) -> None:
    (folder / "oa_chat.json").write_text(json.dumps({"labels": ["a", "b"]}))
    refused(folder, "2 labels for 5 outputs")
    names = [f"l{number}" for number in range(5)]
    (folder / "oa_chat.json").write_text(json.dumps({"labels": names}))
    refused(folder, "the order differs from id2label")


def test_a_card_that_is_no_yaml_is_an_error(folder: Path) -> None:
    (folder / "README.md").write_text("---\na: [\n---\n")
    refused(folder, "README.md: the head of the card is no YAML")


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="is no folder"):
        read_checkpoint(tmp_path / "nothing")
    save_file({"a": np.zeros(2, np.float32)}, folder / "adapter_model.safetensors")
    (folder / "model.safetensors").unlink()
    refused(folder, "holds no weights")
    (folder / "config.json").unlink()
    refused(folder, "holds no config.json")
