"""Types of tensors: what is asked for, what cannot be had, and how much memory it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

from converters.convert.checkpoint import read_checkpoint
from converters.convert.convert import Options, Watcher, convert_checkpoint
from converters.convert.guard_config import GuardConfig
from converters.convert.precision import choose, chunks, embeddings_type, encoded
from converters.convert.registry import source_of
from converters.convert.source import Source, Tensor, tensor
from tests.converters.convert import checkpoints


def types_of(path: Path) -> dict[str, str]:
    reader: Any = gguf.GGUFReader(path)
    return {one.name: one.tensor_type.name.lower() for one in reader.tensors}


def test_layers_and_embeddings_have_types_of_their_own(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "model.gguf"
    convert_checkpoint(folder, out, Options("q8_0", embeddings="q4_0"), Watcher())
    types = types_of(out)
    assert types["token_embd.weight"] == "q4_0"
    assert types["blk.0.attn_q.weight"] == types["cls.weight"] == "q8_0"
    small = {"cls.output.weight", "position_embd.weight", "token_types.weight", "cls.bias"}
    assert {types[name] for name in small} == {"f32"}
    assert all(type_ == "f32" for name, type_ in types.items() if "norm" in name or "bias" in name)


@pytest.mark.parametrize(
    ("quant", "embeddings", "expected"),
    [
        ("q4_k_m", None, {"q4_k", "q6_k", "q5_k"}),
        ("q8_0", "q6_k", {"q6_k", "q8_0"}),
        ("bf16", None, {"bf16"}),
        ("q5_0", None, {"q5_0"}),
    ],
)
def test_every_kind_of_file_is_verified(
    quant: str, embeddings: str | None, expected: set[str], tmp_path: Path
) -> None:
    """Rows of 256, as K-quants need them."""
    folder = checkpoints.bert(
        tmp_path / "checkpoint",
        much=0.05,
        hidden_size=256,
        intermediate_size=256,
        num_hidden_layers=1,
    )
    out = tmp_path / "model.gguf"
    done = convert_checkpoint(folder, out, Options(quant, embeddings), Watcher())
    found = set(types_of(out).values()) - {"f32"}
    assert found
    assert found <= expected
    assert done.report is not None
    assert not done.report.failed
    if embeddings:
        assert types_of(out)["token_embd.weight"] == embeddings


def test_k_quants_of_narrow_rows_fall_back_with_a_notice(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "model.gguf"
    done = convert_checkpoint(folder, out, Options("q4_k_m"), Watcher())
    assert any("do not divide by 256" in notice for notice in done.notices)
    assert not {"q4_k", "q6_k"} & set(types_of(out).values())


@pytest.mark.parametrize(
    ("wanted", "width", "found"),
    [
        ("q4_k", 256, "q4_k"),
        ("q4_k", 64, "q5_0"),
        ("q6_k", 384, "q8_0"),
        ("q6_k", 40, "f16"),
        ("q4_0", 40, "f16"),
        ("bf16", 40, "bf16"),
        (None, 40, None),
    ],
)
def test_an_embedding_table_that_cannot_have_a_type_gets_the_next(
    wanted: str | None, width: int, found: str | None
) -> None:
    source = one(np.zeros((300, width), np.float32), embedding=True)
    kind, notices = embeddings_type(source, wanted)
    assert kind == found
    assert bool(notices) == (kind != wanted)


def test_the_fallback_is_a_sound_file(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "model.gguf"
    done = convert_checkpoint(folder, out, Options("q8_0", "q4_k"), Watcher())
    assert types_of(out)["token_embd.weight"] == "q5_0"
    assert "cannot be q4_k" in done.notices[0]


def made(values: np.ndarray, **settings: Any) -> Tensor:
    class Here:
        shape = values.shape

        def rows(self, first: int, end: int) -> np.ndarray:
            return values[first:end]

    return tensor("t.weight", Here(), **settings)


def one(values: np.ndarray, **settings: Any) -> Source:
    return Source("bert", "classifier", {}, [made(values, **settings)])


def test_odd_rows_and_large_numbers_get_a_wider_type() -> None:
    odd = choose(one(np.ones((300, 40), np.float32)), "q8_0", None)
    assert odd.types == {"t.weight": "f16"}
    assert "do not divide by 32" in odd.notices[0]
    large = np.ones((100, 64), np.float32)
    assert choose(one(large), "f16", None).types == {"t.weight": "f16"}
    large[99, 63] = 70_000
    found = choose(one(large), "f16", None)
    assert found.types == {"t.weight": "f32"}
    assert "exceed float16" in found.notices[0]
    assert choose(one(large), "q8_0", None).types == {"t.weight": "q8_0"}


def test_t5s_wide_matrix_is_never_float16(tmp_path: Path) -> None:
    folder = checkpoints.t5(tmp_path / "checkpoint")
    out = tmp_path / "model.gguf"
    done = convert_checkpoint(folder, out, Options("f16", verify=False), Watcher())
    types = types_of(out)
    assert types["dec.blk.1.ffn_down.weight"] == "f32"
    assert types["dec.blk.1.ffn_up.weight"] == "f16"
    assert any("ffn_down" in notice for notice in done.notices)


def test_q8_0_is_made_from_float32_in_pieces() -> None:
    values = np.random.default_rng(1).standard_normal((70, 64), np.float32) * 3
    whole = made(values)
    parts = [encoded(rows, "q8_0") for rows in chunks(whole)]
    kind = gguf.GGMLQuantizationType.Q8_0
    assert np.concatenate(parts).tobytes() == gguf.quants.quantize(values, kind).tobytes()
    again = gguf.quants.dequantize(np.concatenate(parts), kind)
    assert np.abs(again - values).max() <= np.abs(values).max() / 127 * 0.51


def test_scaled_shortened_and_paired_rows_are_the_same_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints.llama(tmp_path / "checkpoint")
    source = source_of(read_checkpoint(folder), GuardConfig())
    whole = {part.name: part.read(0, part.shape[0]) for part in source.tensors}
    monkeypatch.setattr("converters.convert.precision._CHUNK", 64 * 5)
    for part in source.tensors:
        assert np.concatenate(list(chunks(part))).tobytes() == whole[part.name].tobytes()
    values = np.arange(20, dtype=np.float32).reshape(5, 4)
    assert made(values, scale=0.5, skip=2).read(0, 3).tolist() == (values[2:] / 2).tolist()


def test_only_a_few_rows_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest piece ever read, of a table of 100,000 rows, is a small part of it."""
    folder = checkpoints.bert(tmp_path / "checkpoint")
    source = source_of(read_checkpoint(folder), GuardConfig())
    read: list[int] = []

    def watched(first: int, end: int) -> np.ndarray:
        read.append((end - first) * 256)
        return np.zeros((end - first, 256), np.float32)

    large = Tensor("token_embd.weight", (100_000, 256), watched, embedding=True)
    sizes = [rows.size for rows in chunks(large)]
    assert sum(sizes) == 100_000 * 256
    assert max(read) <= 2**21
    assert source.parameters > 0


def test_every_stored_type_is_read(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    stored = read_checkpoint(folder)
    tables = {name: one.rows(0, one.shape[0]) for name, one in stored.weights.items()}
    files = {"float16": np.float16, "float64": np.float64}
    for kind in files.values():
        save_file(
            {name: table.astype(kind) for name, table in tables.items()},
            folder / "model.safetensors",
        )
        again = read_checkpoint(folder).weights["classifier.weight"]
        assert np.allclose(again.rows(0, 5), tables["classifier.weight"], atol=2e-3)
    index = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(tables)}
    for file in set(index.values()):
        part = {name: table for name, table in tables.items() if index[name] == file}
        save_file(part, folder / file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    sharded = read_checkpoint(folder).weights
    assert all(
        np.array_equal(one.rows(0, one.shape[0]), tables[name]) for name, one in sharded.items()
    )
