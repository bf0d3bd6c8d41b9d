"""Writes a GGUF file, a few rows at a time: no tensor is ever in memory as a whole.

The header comes first and needs only names, shapes and types; then each tensor is read, converted
and written in pieces. It decides no types and no metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.convert.precision import chunks, encoded, stored_bytes
from converters.convert.source import Source, Value
from converters.errors import ConversionError

if TYPE_CHECKING:
    import numpy as np

OnBytes = Callable[[int], None]
"""Called with the number of bytes written since the last call."""


def write_gguf(
    path: Path,
    source: Source,
    values: Mapping[str, Value],
    types: Mapping[str, str],
    on_bytes: OnBytes = lambda _: None,
) -> None:
    """Write a model with these types; `values` are keys beside the source's own.

    Raises ConversionError for weights that are not finite.
    """
    import gguf

    writer = gguf.GGUFWriter(path, source.architecture)
    try:
        for key, value in {**values, **source.values}.items():
            put(writer, key, value)
        for one in source.tensors:
            kind = gguf.GGMLQuantizationType[types[one.name].upper()]
            size = stored_bytes(one.shape, types[one.name])
            writer.add_tensor_info(one.name, one.shape, _Float, size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        file = writer.fout[0]
        writer.write_padding(file, file.tell())
        for one in source.tensors:
            written = 0
            for rows in chunks(one):
                _require_finite(one.name, rows)
                data = encoded(rows, types[one.name])
                file.write(data.data)
                written += data.nbytes
                on_bytes(data.nbytes)
            writer.write_padding(file, written)
    finally:
        writer.close()


_Float = None
"""Of no meaning beside `raw_dtype`."""


def put(writer: Any, key: str, value: Value) -> None:
    """Add a key; the type follows from Python's."""
    import gguf

    types = gguf.GGUFValueType
    match value:
        case bool():
            writer.add_key_value(key, value, types.BOOL)
        case int():
            writer.add_key_value(key, value, types.UINT32)
        case float():
            writer.add_key_value(key, value, types.FLOAT32)
        case str():
            writer.add_key_value(key, value, types.STRING)
        case bytes():
            writer.add_key_value(key, value, types.ARRAY, sub_type=types.UINT8)
        case [int(), *_]:
            writer.add_key_value(key, value, types.ARRAY, sub_type=types.INT32)
        case list() if value:
            writer.add_key_value(key, value, types.ARRAY)
        case _:
            raise ConversionError(f"The key {key} has the value {value!r:.80}, which has no type.")


def _require_finite(name: str, rows: np.ndarray) -> None:
    import numpy as np

    if not np.isfinite(rows).all():
        raise ConversionError(
            f"{name} holds numbers that are infinite or not numbers at all.",
            "The training has diverged or the file is damaged; there is nothing to convert.",
        )
