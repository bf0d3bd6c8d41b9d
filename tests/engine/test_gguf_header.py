"""The header reader: what it finds, and that no file makes it hang or crash."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oa_chat.engine.gguf_header import kind_of, read_header, require_kind
from oa_chat.engine.gguf_reader import Cursor
from oa_chat.errors import ModelNotFound, ModelUnreadable, OaChatError, WrongModelKind
from tests.engine.surgery import bomb, renamed_architecture, tiny


def test_starter(starter: Path) -> None:
    header = read_header(starter, tokens=True)
    assert (header.architecture, header.name) == ("llama", "oa-chat starter")
    assert (header.context_length, header.block_count, header.embedding_length) == (512, 6, 256)
    assert header.sampling["temp"] == 0.5
    assert header.sampling["top_k"] == 40
    assert header.chat_template is not None
    assert "<|im_start|>" in header.chat_template
    assert len(header.tokens) == 8192
    assert header.tokens[4] == "<|im_end|>"
    assert header.file_type == 7
    assert header.size_bytes == starter.stat().st_size
    assert kind_of(header) == "causal"


def test_guard(guard_file: Path) -> None:
    header = read_header(guard_file)
    assert header.labels[0] == "__casual__"
    assert len(header.labels) == 5
    assert header.chat_template is None
    assert header.tokens == ()
    assert kind_of(header) == "classifier"


def test_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path / ("x" * 4000), Path("a\0b")):
        with pytest.raises((ModelNotFound, ModelUnreadable)):
            read_header(path)


def test_a_directory_names_the_model_inside(tmp_path: Path) -> None:
    tiny(tmp_path / "inside.gguf")
    with pytest.raises(ModelUnreadable, match="is a folder") as caught:
        read_header(tmp_path)
    assert "inside.gguf" in caught.value.hint


def test_a_device_is_refused() -> None:
    with pytest.raises(ModelUnreadable):
        read_header(Path(os.devnull))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in", "web page"),
        (b"\n  <HTML>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"lmgg" + bytes(60), "legacy file"),
        (b"fmgg" + bytes(60), "legacy file"),
        (b"tjgg" + bytes(60), "legacy file"),
        (b"PK\x03\x04" + bytes(60), "PyTorch"),
        (struct.pack("<Q", 10) + b'{"a": 1}  ', "safetensors"),
        (b'{"error": "not found"}', "JSON"),
        (bytes(100), "empty bytes"),
        (b"something else", "not a GGUF file"),
        (b"GGUF", "truncated"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 77, 0, 0), "version 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**62, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**62), "keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "architecture"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**40), "bytes long"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 99), "type 99"),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1),
            "array of arrays",
        ),
        (bomb(), "array of 9223372036854775808"),
    ],
)
def test_files_that_are_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    taken: list[int] = []
    real = Cursor.take

    def take(self: Cursor, count: int) -> bytes:
        taken.append(count)
        return real(self, count)

    monkeypatch.setattr(Cursor, "take", take)
    with pytest.raises(ModelUnreadable, match=said):
        read_header(path)
    assert len(taken) <= 10  # whatever the file announces


@pytest.mark.parametrize("cut", [5, 24, 100, 3000, 200_000, 1_000_000, 7_552_000])
def test_truncated(tmp_path: Path, starter: Path, cut: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(starter.read_bytes()[:cut])
    with pytest.raises(ModelUnreadable, match="truncated") as caught:
        read_header(path)
    assert "download" in caught.value.hint
    if cut > 900_000:
        missing = starter.stat().st_size - cut
        assert any(f"{missing - pad:,} of" in caught.value.message for pad in range(33))


def test_kinds(tmp_path: Path) -> None:
    expected = {
        "llama": "causal",
        "qwen3": "causal",
        "t5": "seq2seq",
        "t5encoder": None,
        "bert": None,
        "modern-bert": None,
        "clip": None,
    }
    for arch, kind in expected.items():
        assert kind_of(read_header(tiny(tmp_path / f"{arch}.gguf", arch))) == kind
    adapter = tiny(tmp_path / "adapter.gguf", general__type="adapter")
    with pytest.raises(WrongModelKind, match="LoRA"):
        require_kind(adapter, "causal", "chat model")


def test_wrong_kinds_say_where_the_model_fits(
    tmp_path: Path, starter: Path, guard_file: Path
) -> None:
    t5 = tiny(tmp_path / "t5.gguf", "t5")
    with pytest.raises(WrongModelKind, match=r"T5 model; it can be a guard.*not a chat model"):
        require_kind(t5, "causal", "chat model")
    with pytest.raises(WrongModelKind, match="classifier.*not a chat model"):
        require_kind(guard_file, "causal", "chat model")
    with pytest.raises(WrongModelKind, match="it can be a chat model"):
        require_kind(starter, "classifier", "guard")
    assert require_kind(starter, "causal", "chat model").name == "oa-chat starter"


def test_parts(tmp_path: Path, starter: Path) -> None:
    import gguf

    def part(number: int) -> Path:
        path = tmp_path / f"big-{number + 1:05d}-of-00002.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_uint16("split.count", 2)
        writer.add_uint16("split.no", number)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return path

    with pytest.raises(ModelUnreadable, match="1 are missing"):
        read_header(part(0))
    with pytest.raises(ModelUnreadable, match="part 2"):
        read_header(part(1))
    assert read_header(tmp_path / "big-00001-of-00002.gguf").values["split.count"] == 2


def test_an_unknown_architecture_is_left_to_llama_cpp(tmp_path: Path, starter: Path) -> None:
    path = renamed_architecture(starter, tmp_path / "new.gguf", b"lamma")
    assert kind_of(read_header(path)) == "causal"


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("small") / "tiny.gguf")


_EDIT = st.tuples(
    st.integers(0, 700),
    st.one_of(
        st.binary(min_size=1, max_size=9),
        st.sampled_from([2**63, 2**64 - 1, 2**32, 2**31, 0, 9, 8]).map(
            lambda n: n.to_bytes(8, "little")
        ),
    ),
    st.booleans(),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=st.lists(_EDIT, min_size=1, max_size=6), cut=st.none() | st.integers(0, 900))
def test_damage_is_always_an_error_for_people(
    small_file: Path, edits: list[tuple[int, bytes, bool]], cut: int | None
) -> None:
    data = bytearray(small_file.read_bytes())
    for at, new, insert in edits:
        data[at : at if insert else at + len(new)] = new
    path = small_file.with_name("damaged.gguf")
    path.write_bytes(data[:cut])
    with contextlib.suppress(OaChatError):  # anything else, or no end, is a failure
        kind_of(read_header(path, tokens=True))
