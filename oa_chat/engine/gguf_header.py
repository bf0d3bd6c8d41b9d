"""What a model file is, read from its header alone: for the parent, before any native code runs.

llama.cpp aborts or reports poorly on many wrong files; this module tells a person what is wrong
with them and what to do. It bounds everything it reads, loads no weights and needs no third-party
package. Whether llama.cpp knows an architecture shows only when it loads the file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from oa_chat.engine.gguf_reader import LONGEST_KEY, Cursor, HeaderBroken, HeaderEnds, Value
from oa_chat.engine.gguf_tensors import Tensors, read_tensors
from oa_chat.engine.not_gguf import explain_other_file
from oa_chat.engine.protocol import ModelKind
from oa_chat.errors import ModelNotFound, ModelUnreadable, WrongModelKind

MOST_KEYS = 65_536
_DAMAGED = "The file is damaged: download or convert it again."
_BERTS = re.compile(r"bert|^eurobert$|^modern-bert$")
_OTHER = {
    "t5encoder": "a T5 encoder without a decoder",
    "clip": "an image encoder",
    "wavtokenizer-dec": "an audio decoder",
    "gemma-embedding": "an embedding model",
    "llama-embed": "an embedding model",
    "dream": "a diffusion model",
    "llada": "a diffusion model",
    "llada-moe": "a diffusion model",
    "rnd1": "a diffusion model",
}
"""Architectures that can do nothing here, in words."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What the header of a whole GGUF file says. Numbers are 0 where the file is silent."""

    path: Path
    size_bytes: int
    version: int
    architecture: str
    name: str
    tensor_count: int
    context_length: int
    block_count: int
    embedding_length: int
    file_type: int
    """llama.cpp's number for the quantisation (7 is Q8_0); -1 if unknown."""
    labels: tuple[str, ...]
    """Of a classifier, in the order of its outputs."""
    chat_template: str | None
    sampling: Mapping[str, float]
    """`general.sampling.*` without that prefix, such as {"temp": 0.5, "top_k": 40}."""
    tokens: tuple[str, ...]
    """The vocabulary, if it was asked for."""
    values: Mapping[str, Value] = field(repr=False)
    """All metadata; arrays that were not asked for are None."""
    tensor_names: frozenset[str] = field(repr=False)


def read_header(path: Path, tokens: bool = False) -> GgufHeader:
    """Read and check the header; `tokens` also keeps the vocabulary.

    Raises `ModelNotFound`, or `ModelUnreadable` for anything but a whole GGUF file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(path, status.st_mode)
        with path.open("rb") as file:
            return _read(path, file, os.fstat(file.fileno()).st_size, tokens)
    except FileNotFoundError:
        raise ModelNotFound(
            f"There is no model file {path}.",
            "Check the path.",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelUnreadable(f"{path}: cannot be read ({reason}).") from None


def _not_a_file(path: Path, mode: int) -> ModelUnreadable:
    if not stat.S_ISDIR(mode):
        return ModelUnreadable(f"{path} is not a regular file.", "Name a .gguf file.")
    inside = sorted(path.glob("*.gguf"))
    hint = f"Name the file: {inside[0]}" if inside else "Name a .gguf file."
    return ModelUnreadable(f"{path} is a folder, not a model file.", hint)


def _read(path: Path, file: BinaryIO, size: int, tokens: bool) -> GgufHeader:
    start = file.read(4096)
    if start[:4] != b"GGUF":
        raise explain_other_file(path, start, size)
    file.seek(0)
    cursor = Cursor(file, size)
    try:
        version, tensor_count, key_count = _read_counts(path, cursor)
        values = _read_values(cursor, key_count, tokens)
        tensors = read_tensors(cursor, tensor_count)
    except HeaderEnds:
        raise ModelUnreadable(
            f"{path.name} is truncated: its {size:,} bytes end inside its header.",
            "The download stopped early: download it again.",
        ) from None
    except HeaderBroken as broken:
        raise ModelUnreadable(f"{path.name} is corrupt: {broken}.", _DAMAGED) from None
    header = _header(path, size, version, tensor_count, values, tensors)
    _check_whole(header, cursor.at, tensors)
    _check_parts(header)
    return header


def _read_counts(path: Path, cursor: Cursor) -> tuple[int, int, int]:
    cursor.take(4)
    version = cursor.u32()
    if version and not version & 0xFFFF:
        raise ModelUnreadable(
            f"{path.name} is a big-endian GGUF file, for another kind of processor.",
            "Download or convert a little-endian one.",
        )
    if version not in (2, 3):
        raise ModelUnreadable(
            f"{path.name} has GGUF version {version}; versions 2 and 3 are known.",
            "Convert it again with a current llama.cpp." if version < 2 else _DAMAGED,
        )
    tensor_count, key_count = cursor.u64(), cursor.u64()
    if key_count > MOST_KEYS:
        raise HeaderBroken(f"its header announces {key_count} keys")
    return version, tensor_count, key_count


def _read_values(cursor: Cursor, count: int, tokens: bool) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for _ in range(count):
        key = cursor.text(LONGEST_KEY)
        wanted = key.endswith(".classifier.output_labels") or key == "general.languages"
        wanted = wanted or (tokens and key == "tokenizer.ggml.tokens")
        if key in values:
            raise HeaderBroken(f"its header has the key '{key[:60]}' twice")
        values[key] = cursor.value(keep_arrays=wanted)
    return values


def _header(
    path: Path, size: int, version: int, count: int, values: dict[str, Value], tensors: Tensors
) -> GgufHeader:
    architecture = _text(values, "general.architecture")
    if not architecture:
        raise ModelUnreadable(f"{path.name}: its header names no architecture.", _DAMAGED)
    labels = values.get(f"{architecture}.classifier.output_labels")
    tokens = values.get("tokenizer.ggml.tokens")
    prefix = "general.sampling."
    return GgufHeader(
        path=path,
        size_bytes=size,
        version=version,
        architecture=architecture,
        name=_text(values, "general.name") or path.stem,
        tensor_count=count,
        context_length=_number(values, f"{architecture}.context_length"),
        block_count=_number(values, f"{architecture}.block_count"),
        embedding_length=_number(values, f"{architecture}.embedding_length"),
        file_type=_number(values, "general.file_type", -1),
        labels=tuple(map(str, labels)) if isinstance(labels, list) else (),
        chat_template=_text(values, "tokenizer.chat_template") or None,
        sampling={
            key.removeprefix(prefix): float(value)
            for key, value in values.items()
            if key.startswith(prefix) and isinstance(value, int | float)
        },
        tokens=tuple(map(str, tokens)) if isinstance(tokens, list) else (),
        values=values,
        tensor_names=tensors.names,
    )


def _text(values: Mapping[str, Value], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _number(values: Mapping[str, Value], key: str, default: int = 0) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else default


def _check_whole(header: GgufHeader, header_end: int, tensors: Tensors) -> None:
    alignment = _number(header.values, "general.alignment", 32)
    if not 0 < alignment <= 2**20 or alignment & (alignment - 1):
        message = f"{header.path.name} is corrupt: an alignment of {alignment} is impossible."
        raise ModelUnreadable(message, _DAMAGED)
    data_start = -(-header_end // alignment) * alignment
    needed = data_start + tensors.data_bytes if header.tensor_count else header_end
    missing = needed - header.size_bytes
    if missing > 0:
        raise ModelUnreadable(
            f"{header.path.name} is truncated: {missing:,} of {needed:,} bytes are missing.",
            "The download stopped early: download it again.",
        )


def _check_parts(header: GgufHeader) -> None:
    """A model in several files is opened by its first, and needs all of them."""
    parts = _number(header.values, "split.count")
    if parts < 2:
        return
    part = _number(header.values, "split.no")
    match = re.fullmatch(r"(.*)-\d{5}-of-\d{5}\.gguf", header.path.name)
    if match is None or parts > 9999:
        return
    names = [f"{match[1]}-{number:05d}-of-{parts:05d}.gguf" for number in range(1, parts + 1)]
    if part > 0:
        raise ModelUnreadable(
            f"{header.path.name} is part {part + 1} of a model in {parts} files.",
            f"Name the first part: {header.path.with_name(names[0])}",
        )
    absent = [name for name in names if not header.path.with_name(name).exists()]
    if absent:
        raise ModelUnreadable(
            f"{header.path.name} is the first of {parts} files, and {len(absent)} are missing.",
            f"Download {absent[0]} into the same folder.",
        )


def kind_of(header: GgufHeader) -> ModelKind | None:
    """What the model can be used as; None if it is of no use here (such as embeddings alone)."""
    architecture = header.architecture
    if _text(header.values, "general.type") in ("adapter", "mmproj", "imatrix", "vocab"):
        return None
    if header.labels or {"cls.weight", "cls.output.weight"} & header.tensor_names:
        return "classifier"
    if architecture == "t5":
        return "seq2seq"
    if architecture in _OTHER or _BERTS.search(architecture):
        return None
    if header.values.get(f"{architecture}.attention.causal") is False or not header.tensor_count:
        return None
    return "causal"


def require_kind(path: Path, wanted: ModelKind, role: str) -> GgufHeader:
    """The header of a model that can be used as `wanted`, else `WrongModelKind`.

    `role` names the place for a person: "chat model", "guard", "rule writer".
    """
    header = read_header(path)
    kind = kind_of(header)
    if kind == wanted:
        return header
    architecture = header.architecture
    is_guard = "it can be a guard (--guard)"
    described, instead = {
        "causal": (f"a text-generating model ({architecture})", "it can be a chat model (--model)"),
        "classifier": (f"a text classifier ({architecture})", is_guard),
        "seq2seq": ("a T5 model", is_guard),
        None: (_useless(header), ""),
    }[kind]
    refusal = "not this kind of guard" if role == "guard" else f"not a {role}"
    use = f"{instead}, {refusal}" if instead and role not in instead else refusal
    needs = {
        "causal": "a text-generating model such as Llama, Qwen or Gemma",
        "classifier": "a classifier with labels",
        "seq2seq": "a T5 model",
    }[wanted]
    raise WrongModelKind(f"{path.name} is {described}; {use}.", f"Here it takes {needs}.")


def _useless(header: GgufHeader) -> str:
    general_type = _text(header.values, "general.type")
    if general_type == "adapter":
        return "an adapter (LoRA), not a whole model"
    if header.architecture in _OTHER:
        return _OTHER[header.architecture]
    if not header.tensor_count:
        return "a vocabulary without a model"
    return f"an embedding model ({header.architecture})"
