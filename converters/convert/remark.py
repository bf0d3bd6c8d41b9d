"""Copies a GGUF file with keys added or changed; tensors are copied as they are, in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.convert.source import Value
from converters.convert.writer import put

_PIECE = 2**24


def copy_marked(source: Path, target: Path, values: Mapping[str, Value]) -> None:
    """Copy a file whose header was checked before (`gguf_header.read_header`)."""
    import gguf

    reader: Any = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    try:
        for field in reader.fields.values():
            if not field.name.startswith(("GGUF.", "general.architecture")):
                kind = field.types[0]
                sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
                if field.name not in values:
                    writer.add_key_value(field.name, field.contents(), kind, sub_type=sub)
        for key, value in values.items():
            put(writer, key, value)
        for one in reader.tensors:
            shape = [int(size) for size in reversed(one.shape)]
            writer.add_tensor_info(one.name, shape, None, int(one.n_bytes), one.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        file = writer.fout[0]
        writer.write_padding(file, file.tell())
        for one in reader.tensors:
            data = one.data.reshape(-1).view("u1")
            for start in range(0, data.nbytes, _PIECE):
                file.write(data[start : start + _PIECE].data)
            writer.write_padding(file, int(one.n_bytes))
    finally:
        writer.close()
