"""Makes GGUF files that are wrong in chosen ways, from small or real ones."""

from __future__ import annotations

import struct
from collections.abc import Collection
from pathlib import Path

import gguf
import numpy as np


def tiny(path: Path, arch: str = "llama", **text: str) -> Path:
    """A whole GGUF of some hundred bytes; `text` are further keys ("__" is a dot)."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_float32("general.sampling.temp", 0.25)
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "</s>", "a"])
    for key, value in text.items():
        writer.add_string(key.replace("__", "."), value)
    writer.add_tensor("token_embd.weight", np.zeros((3, 32), dtype=np.float32))
    _finish(writer)
    return path


def rewritten(
    source: Path, target: Path, *, drop: Collection[str] = (), put: dict[str, str] | None = None
) -> Path:
    """A copy of a real model without the keys in `drop`, with the text keys in `put`."""
    put = put or {}
    reader = gguf.GGUFReader(source)
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, arch)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        if field.name in drop or field.name in put:
            continue
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    for key, value in put.items():
        writer.add_string(key, value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _finish(writer)
    return target


def renamed_architecture(source: Path, target: Path, name: bytes) -> Path:
    """A copy whose architecture is called `name`, of the same length as the old one."""
    data = bytearray(source.read_bytes())
    at = data.index(b"general.architecture") + len(b"general.architecture") + 4
    (length,) = struct.unpack_from("<Q", data, at)
    assert length == len(name)
    data[at + 8 : at + 8 + length] = name
    target.write_bytes(data)
    return target


def bomb() -> bytes:
    """49 bytes that announce an array of 2^63 items."""
    key = b"a"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    return head + struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 4, 2**63)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
