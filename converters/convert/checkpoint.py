"""A checkpoint folder as transformers writes it: config.json and weights, read with suspicion.

Checkpoints come from strangers: names in an index are never paths out of the folder, pickles are
refused (`pytorch_model.bin` is loaded with ``weights_only``), and what config.json says must fit
the weights. Errors name file and key. What the weights mean is up to the architectures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from converters.convert.safetensors_file import read_safetensors
from converters.errors import ConversionError
from converters.extras import require

if TYPE_CHECKING:
    import numpy as np

_T = TypeVar("_T", int, float, str, bool)
_LARGEST_JSON = 256 * 2**20
_LARGEST_NUMBER = 2**31 - 1
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Stored(Protocol):
    """A tensor that lies in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first, as PyTorch has it."""
        ...

    def rows(self, first: int, end: int) -> np.ndarray:
        """Rows as float32."""
        ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A tensor of a `pytorch_model.bin`, mapped into memory."""

    shape: tuple[int, ...]
    tensor: Any

    def rows(self, first: int, end: int) -> np.ndarray:
        import numpy as np

        return np.asarray(self.tensor[first:end].float().numpy())


@dataclass(slots=True)
class Checkpoint:
    """A folder's configuration and weights."""

    folder: Path
    config: Mapping[str, Any]
    weights: Mapping[str, Stored]
    taken: set[str] = field(default_factory=set)
    """Weights that an architecture has asked for."""

    @property
    def class_name(self) -> str:
        """The first of ``architectures``, such as "T5ForConditionalGeneration"."""
        names = self.config.get("architectures")
        if not isinstance(names, list) or not names or not isinstance(names[0], str):
            raise self.wrong("architectures", "names no model class")
        return names[0]

    def wrong(self, key: str, problem: str, hint: str = "") -> ConversionError:
        """An error about a key of config.json."""
        return ConversionError(f"{self.folder / 'config.json'}: {key}: {problem}.", hint)

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number that is not negative. Raises ConversionError."""
        value = self._value(key, int, default)
        if not 0 <= value <= _LARGEST_NUMBER:
            raise self.wrong(key, f"{value} is out of range")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A number. Raises ConversionError."""
        value = self.config.get(key)
        return float(value) if type(value) is int else self._value(key, float, default)

    def text(self, key: str, default: str | None = None) -> str:
        """A string. Raises ConversionError."""
        return self._value(key, str, default)

    def flag(self, key: str, default: bool) -> bool:
        """True or false. Raises ConversionError."""
        return self._value(key, bool, default)

    def _value(self, key: str, kind: type[_T], default: _T | None) -> _T:
        value = self.config.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not kind:
            said = "is missing" if value is None else f"{value!r:.60} is no {kind.__name__}"
            raise self.wrong(key, said)
        return value

    def weight(self, name: str, shape: tuple[int, ...] | None = None) -> Stored:
        """A tensor that must be there, of this shape. Raises ConversionError."""
        stored = self.weights.get(name)
        if stored is None:
            raise ConversionError(
                f"{self.folder}: the weights have no {name}, which config.json"
                f" ({self.class_name}) calls for.",
                "Is this the folder of that very model, saved whole?",
            )
        if shape is not None and stored.shape != shape:
            raise ConversionError(
                f"{self.folder}: {name} has the shape {list(stored.shape)};"
                f" config.json calls for {list(shape)}."
            )
        self.taken.add(name)
        return stored

    def require_all_taken(self, ignored: str = "") -> None:
        """Raise if weights were left over, besides those whose whole name fits `ignored`."""
        left = sorted(
            name
            for name in self.weights
            if name not in self.taken and not re.fullmatch(ignored or "(?!)", name)
        )
        if left:
            raise ConversionError(
                f"{self.folder}: {len(left)} tensors have no place in a {self.class_name} of this"
                f" config.json: {', '.join(left[:4])}{' ...' if len(left) > 4 else ''}.",
                "config.json and weights must be of the same model.",
            )


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read config.json and find the weights. Raises ConversionError."""
    if not folder.is_dir():
        raise ConversionError(
            f"{folder} is no folder.", "Name the folder that holds config.json and the weights."
        )
    config = read_json(folder / "config.json")
    if config is None:
        raise ConversionError(
            f"{folder} holds no config.json.", "Name the folder that holds it and the weights."
        )
    return Checkpoint(folder, config, _weights(folder))


def read_json(path: Path) -> dict[str, Any] | None:
    """An object in a JSON file; None if there is no file. Raises ConversionError."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ConversionError(f"{path} is larger than {_LARGEST_JSON:,} bytes.")
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConversionError(f"{path} cannot be used: {error}.") from error


def _weights(folder: Path) -> dict[str, Stored]:
    readers: dict[str, Callable[[Path], Mapping[str, Stored]]] = {
        "model.safetensors": read_safetensors,
        "pytorch_model.bin": _read_pickle,
    }
    for name, reader in readers.items():
        index = read_json(folder / f"{name}.index.json")
        if index is not None:
            return _sharded(folder / f"{name}.index.json", index, reader)
        if (folder / name).exists():
            return dict(reader(folder / name))
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    hint = f"There is {found[0]}; it would have to be named model.safetensors." if found else ""
    raise ConversionError(
        f"{folder} holds no weights (model.safetensors or pytorch_model.bin, in one or more"
        " files).",
        hint or "Save the model with save_pretrained.",
    )


def _sharded(
    path: Path, index: Mapping[str, Any], reader: Callable[[Path], Mapping[str, Stored]]
) -> dict[str, Stored]:
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ConversionError(f"{path}: weight_map is missing or empty.")
    files = {place for place in places.values() if isinstance(place, str)}
    for file in sorted(files):
        if not _SHARD.fullmatch(file):
            raise ConversionError(f"{path}: weight_map: {file!r:.80} is no plain file name.")
        if not (path.parent / file).is_file():
            raise ConversionError(
                f"{path}: the file {file} is missing.", "Copy or download the checkpoint again."
            )
    shards = {file: reader(path.parent / file) for file in sorted(files)}
    weights: dict[str, Stored] = {}
    for name, file in places.items():
        stored = shards[file].get(name) if isinstance(file, str) else None
        if stored is None:
            raise ConversionError(f"{path}: weight_map: {name} is not in {file!r:.80}.")
        weights[name] = stored
    return weights


def _read_pickle(path: Path) -> dict[str, Stored]:
    """PyTorch's own format: only tensors are unpickled, anything else is refused."""
    require("train", "torch")
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        first = str(error).strip().splitlines()
        raise ConversionError(
            f"{path} cannot be loaded as mere weights: {first[0][:200] if first else error!r}.",
            "It may hold code. Get the checkpoint as safetensors.",
        ) from error
    if not isinstance(state, dict):
        raise ConversionError(f"{path} holds no table of weights.")
    return {
        str(name): _Loaded(tuple(tensor.shape), tensor)
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor)
    }
