"""LLaMA files of before GGUF, written byte by byte, and run in the real engine."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from converters.convert.convert import Options, Watcher
from converters.convert.legacy import convert_legacy
from converters.convert.legacy_file import read_legacy
from converters.convert.probe import ask
from converters.errors import ConversionError

_MAGIC = {"GGML": 0x67676D6C, "GGMF": 0x67676D66, "GGJT": 0x67676A74}
_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}
_WIDTH, _INNER, _HEADS = 64, 96, 4
_WORDS = ["a", "b", "c", " a", " b", "ab", " ab", "é"]
_IDS = [1, 262, 265, 260, 266, 264]


def vocabulary() -> list[tuple[bytes, float]]:
    """As LLaMA's: three special ones, 256 bytes, then pieces by rank."""
    words: list[tuple[bytes, float]] = [(b" \xe2\x81\x87 ", 0.0), (b"", 0.0), (b"", 0.0)]
    words += [(bytes([number]), 0.0) for number in range(256)]
    return words + [(word.encode(), -float(rank)) for rank, word in enumerate(_WORDS)]


def model() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=_WIDTH,
        intermediate_size=_INNER,
        num_hidden_layers=2,
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
    )
    made = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    return made


def meta_tensors(made: LlamaForCausalLM) -> dict[str, np.ndarray]:
    """The weights by Meta's names, rotary pairs side by side as in Meta's files."""
    state = {name: value.detach().numpy() for name, value in made.state_dict().items()}

    def paired(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(_HEADS, 2, -1, _WIDTH).swapaxes(1, 2).reshape(rows.shape)

    tensors = {
        "tok_embeddings.weight": state["model.embed_tokens.weight"],
        "norm.weight": state["model.norm.weight"],
        "output.weight": state["lm_head.weight"],
    }
    names = {
        "attention.wv": "self_attn.v_proj",
        "attention.wo": "self_attn.o_proj",
        "attention_norm": "input_layernorm",
        "feed_forward.w1": "mlp.gate_proj",
        "feed_forward.w2": "mlp.down_proj",
        "feed_forward.w3": "mlp.up_proj",
        "ffn_norm": "post_attention_layernorm",
    }
    for layer in range(2):
        for short in "qk":
            rows = state[f"model.layers.{layer}.self_attn.{short}_proj.weight"]
            tensors[f"layers.{layer}.attention.w{short}.weight"] = paired(rows)
        for ours, theirs in names.items():
            tensors[f"layers.{layer}.{ours}.weight"] = state[
                f"model.layers.{layer}.{theirs}.weight"
            ]
    return tensors


def encode(values: np.ndarray, type_name: str) -> bytes:
    if values.ndim == 1 or type_name == "f32":
        return values.astype("<f4").tobytes()
    if type_name == "f16":
        return values.astype("<f2").tobytes()
    kind = gguf.GGMLQuantizationType[type_name.upper()]
    return bytes(gguf.quants.quantize(values.astype(np.float32), kind).tobytes())


def write(
    path: Path, form: str, version: int, type_name: str, tensors: dict[str, np.ndarray]
) -> Path:
    data = bytearray(struct.pack("<I", _MAGIC[form]))
    if version:
        data += struct.pack("<I", version)
    words = vocabulary()
    data += struct.pack("<7I", len(words), _WIDTH, 256, _HEADS, 2, _WIDTH // _HEADS, 1)
    for text, score in words:
        data += struct.pack("<I", len(text)) + text
        if form != "GGML":
            data += struct.pack("<f", score)
    for name, values in tensors.items():
        kind = "f32" if values.ndim == 1 else type_name
        data += struct.pack("<3I", values.ndim, len(name), _TYPES[kind])
        data += struct.pack(f"<{values.ndim}I", *reversed(values.shape)) + name.encode()
        if form == "GGJT":
            data += bytes(-len(data) % 32)
        data += encode(values, kind)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def made() -> LlamaForCausalLM:
    return model()


@pytest.mark.parametrize(
    ("form", "version", "type_name"),
    [
        ("GGML", 0, "f32"),
        ("GGML", 0, "f16"),
        ("GGMF", 1, "f16"),
        ("GGJT", 1, "f16"),
        ("GGJT", 2, "q5_1"),
        ("GGJT", 2, "q5_0"),
        ("GGJT", 3, "q4_0"),
        ("GGJT", 3, "q4_1"),
        ("GGJT", 3, "q8_0"),
    ],
)
def test_it_runs_and_its_logits_are_pytorchs(
    form: str, version: int, type_name: str, made: LlamaForCausalLM, tmp_path: Path
) -> None:
    source = write(tmp_path / "old.bin", form, version, type_name, meta_tensors(made))
    done = convert_legacy(source, tmp_path / "new.gguf", Options(), Watcher())
    found = ask(done.path, "causal", ["ab a", "é"], ["</s>"], [_IDS])
    assert found.texts == [[265, 262], [229, 153, 132, 266]], "a blank alone is no piece here"
    assert found.trusted == [[2]]
    with torch.no_grad():
        expected = _with_stored(made, type_name)(torch.tensor([_IDS])).logits[0].numpy()
    gap = np.abs(found.logits - expected).max()
    print(f"largest difference {gap:.5f} of {np.abs(expected).max():.2f}")
    assert gap < 0.03 * np.abs(expected).max()
    assert (found.logits.argmax(-1) == expected.argmax(-1)).all()
    assert not done.verified


def _with_stored(made: LlamaForCausalLM, type_name: str) -> LlamaForCausalLM:
    """The model with the numbers that the file really holds."""
    if type_name in ("f32", "f16"):
        return made
    import copy

    kind = gguf.GGMLQuantizationType[type_name.upper()]
    other = copy.deepcopy(made)
    for weight in other.parameters():
        if weight.ndim == 2:
            rows = gguf.quants.quantize(weight.detach().numpy(), kind)
            weight.data = torch.from_numpy(np.array(gguf.quants.dequantize(rows, kind)))
    return other


@pytest.mark.parametrize(
    ("form", "version", "type_name"),
    [("GGJT", 1, "q4_0"), ("GGJT", 2, "q4_0"), ("GGJT", 2, "q8_0"), ("GGMF", 1, "q4_1")],
)
def test_old_blocks_are_refused_with_what_would_do(
    form: str, version: int, type_name: str, made: LlamaForCausalLM, tmp_path: Path
) -> None:
    source = write(tmp_path / "old.bin", form, version, type_name, meta_tensors(made))
    with pytest.raises(ConversionError, match=f"is {type_name} of {form} v{version}") as caught:
        convert_legacy(source, tmp_path / "new.gguf", Options(), Watcher())
    assert "everything of GGJT v3" in caught.value.hint
    assert not (tmp_path / "new.gguf").exists()


def test_damaged_files_are_refused(made: LlamaForCausalLM, tmp_path: Path) -> None:
    whole = write(tmp_path / "old.bin", "GGJT", 3, "q8_0", meta_tensors(made)).read_bytes()
    broken = tmp_path / "broken.bin"
    for size in (3, 8, 30, 60, 1000, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:size])
        with pytest.raises(ConversionError, match="broken.bin"):
            convert_legacy(broken, tmp_path / "new.gguf", Options(), Watcher())
    for place, value in ((4, 9), (8, 2**31), (12, 0), (20, 5), (24, 2**30)):
        broken.write_bytes(whole[:place] + struct.pack("<I", value) + whole[place + 4 :])
        with pytest.raises(ConversionError, match="broken.bin"):
            convert_legacy(broken, tmp_path / "new.gguf", Options(), Watcher())


def test_missing_and_strange_tensors_are_named(made: LlamaForCausalLM, tmp_path: Path) -> None:
    tensors: dict[str, Any] = meta_tensors(made)
    del tensors["layers.1.ffn_norm.weight"]
    source = write(tmp_path / "old.bin", "GGJT", 3, "f16", tensors)
    assert read_legacy(source).form == "GGJT v3"
    with pytest.raises(ConversionError, match=r"has no layers\.1\.ffn_norm\.weight"):
        convert_legacy(source, tmp_path / "new.gguf", Options(), Watcher())
    tensors = meta_tensors(made) | {"norm.weight": np.ones(32, np.float32)}
    source = write(tmp_path / "old.bin", "GGJT", 3, "f16", tensors)
    with pytest.raises(ConversionError, match=r"norm\.weight has the shape \[32\]"):
        convert_legacy(source, tmp_path / "new.gguf", Options(), Watcher())
