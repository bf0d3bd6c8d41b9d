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


def mamba(source: Path, target: Path) -> Path:
    """A tiny recurrent model with random weights and the vocabulary of `source`."""
    width, inner, state, rank = 32, 64, 8, 4
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "mamba")
    writer.add_name("tiny mamba")
    writer.add_context_length(1024)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(1)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_layer_norm_rms_eps(1e-5)
    for field in reader.fields.values():
        if field.name.startswith("tokenizer."):
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    random = np.random.default_rng(1)
    shapes = {
        "token_embd.weight": (8192, width),
        "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ssm_in.weight": (2 * inner, width),
        "blk.0.ssm_conv1d.weight": (inner, 4),
        "blk.0.ssm_conv1d.bias": (inner,),
        "blk.0.ssm_x.weight": (rank + 2 * state, inner),
        "blk.0.ssm_dt.weight": (inner, rank),
        "blk.0.ssm_dt.bias": (inner,),
        "blk.0.ssm_a": (inner, state),
        "blk.0.ssm_d": (inner,),
        "blk.0.ssm_out.weight": (width, inner),
    }
    for name, shape in shapes.items():
        values = random.normal(0, 0.3, shape).astype(np.float32)
        writer.add_tensor(name, -np.abs(values) if name.endswith("ssm_a") else values)
    _finish(writer)
    return target


def byte_level(source: Path, target: Path, template: str) -> Path:
    """The model of `source` with a byte-level BPE vocabulary, as Llama 3 and Qwen have one.

    Token n is byte n for n below 256; 256 is BOS, 257 ends a turn, 258 and 259 surround a role,
    260 is a user-defined mark, 261 joins two bytes. What it writes is noise.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    marks = ["<|bos|>", "<|eot|>", "<|role|>", "<|/role|>", "<|user|>", "he"]
    tokens = [letters[byte] for byte in range(256)] + marks
    types = [1] * 256 + [3, 3, 3, 3, 4, 1]
    unused = 8192 - len(tokens)
    tokens += [f"w{number}" for number in range(unused)]
    types += [1] * unused
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        if field.name.startswith("llama."):
            writer.add_key_value(field.name, field.contents(), field.types[0])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_add_bos_token(True)
    writer.add_chat_template(template)
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
