"""The catalogue: models that are offered by name, read strictly from `known_models.toml`.

Whether one of them is on this computer is for `oa_chat.catalog`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from oa_chat.errors import SettingsError
from oa_chat.hub_names import MAIN, HubFile
from oa_chat.strict_toml import TomlKind

_Count = Annotated[int, msgspec.Meta(gt=0)]
_Words = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_CACHE_BYTES = 2
"""A number of a context's cache is an f16."""


class KnownModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the catalogue."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    """What a user types for it."""
    title: _Words
    role: Literal["chat", "guard"]
    family: str = ""
    """Of a guard: how it is asked."""
    good_for: _Words
    repo: str
    file: str
    revision: str = MAIN
    size: _Count
    """Bytes of the file, for people; what is downloaded is checked by what the hub says."""
    sha256: Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{64})?$")] = ""
    licence: _Words
    context: _Count
    """Tokens that it was trained with."""
    layers: _Count
    kv_heads: _Count
    head_dim: _Count

    @property
    def source(self) -> HubFile:
        """Where it is downloaded from. Raises UsageError for names that are no names."""
        return HubFile(self.repo, self.file, self.revision, self.sha256)

    @property
    def cache_per_token(self) -> int:
        """Bytes that a token of context takes: a key and a value for every head of every layer."""
        return self.layers * self.kv_heads * self.head_dim * 2 * _CACHE_BYTES


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: list[KnownModel]


_KIND = TomlKind(_File, "catalogue", "entry", SettingsError)


def parse_catalogue(text: str, path: Path) -> tuple[KnownModel, ...]:
    """The entries of a catalogue; `path` is for messages. Raises SettingsError."""
    models = _KIND.parse(text, path).model
    names = [model.name for model in models]
    for model in models:
        if names.count(model.name) > 1:
            raise SettingsError(f"{path}: the name {model.name} is there twice.")
        if (model.role == "guard") != bool(model.family):
            raise SettingsError(
                f"{path}: {model.name}: a guard has a family, and nothing else does."
            )
        _ = model.source  # refuses names that are no names
    return tuple(models)


@cache
def known_models() -> tuple[KnownModel, ...]:
    """The catalogue in the package, in its own order."""
    file = files("oa_chat") / "known_models.toml"
    return parse_catalogue(file.read_text(encoding="utf-8"), Path(str(file)))
