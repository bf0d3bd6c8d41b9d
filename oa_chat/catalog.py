"""Models by name: which there are, and where their files lie.

A name is one of the models in the package, one of the catalogue (`known_models`), a file on the hub
(`hf:owner/repo/file.gguf`), or a model that lies on this computer (`found_models`); all else is a
path. This module reads no model and downloads nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from oa_chat.errors import ModelNotFound, UsageError
from oa_chat.folders import models_dir
from oa_chat.found_models import PREFIXES, FoundModel, found_models
from oa_chat.hub_names import PREFIX, SUFFIXES, HubFile, parse
from oa_chat.known_models import KnownModel, known_models

LIST = "`oa-chat models list` shows all that there are."
_SOURCES = (PREFIX, *PREFIXES)
_OLLAMA = "ollama:"
_CHOICES = 8


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model in the package."""

    name: str
    """What a user types for it."""
    file: str
    title: str
    """What the screen calls it."""
    hint: str = ""
    """Its limits, and how to get beyond them, in words for the screen."""


STARTER = EmbeddedModel(
    "starter",
    "starter-chat-q8_0.gguf",
    "starter",
    "The starter model is for small talk only: it knows no facts and gives no advice."
    " For a real one: oa-chat models list",
)
GUARD = EmbeddedModel("embedded", "guard-minilm-q8_0.gguf", "embedded guard")
RULE_WRITER = EmbeddedModel("rule-writer", "rule-writer-q8_0.gguf", "rule writer")

EMBEDDED = {model.name: model for model in (STARTER, GUARD, RULE_WRITER)}


def path_of(name: str) -> Path:
    """The file of a model, given a name or a path.

    A path is only expanded here; whether it can be used is the engine's matter. Raises
    ModelNotFound for a name that is not there, with the nearest one, and UsageError for one that
    means several files.
    """
    if name in EMBEDDED:
        return embedded_path(EMBEDDED[name])
    if is_path(name):
        return Path(name).expanduser()
    return find(name).path


def embedded_path(model: EmbeddedModel) -> Path:
    """Where an embedded model lies. Raises ModelNotFound if the installation is broken."""
    path = Path(str(files("oa_chat.models"))) / model.file
    if not path.is_file():
        raise ModelNotFound(
            f"The embedded model {model.file} is missing from this installation.",
            "Install oa-chat again.",
        )
    return path


def title_of(name: str) -> str:
    """What the screen calls a model: a title, else the name or the file's name."""
    if name in EMBEDDED:
        return EMBEDDED[name].title
    known = known_by_name(name)
    if known is not None:
        return known.title
    if name.startswith(_OLLAMA):
        return name.removeprefix(_OLLAMA)
    return Path(name).name.removesuffix(".gguf") or name


def is_path(name: str) -> bool:
    """Whether a text is the path of a model rather than its name.

    It is one if it ends like a model file, or begins like a path, or a file of that name is there.
    """
    if has_source(name):
        return False
    if name.lower().endswith(SUFFIXES) or name.startswith((".", "/", "\\", "~")):
        return True
    try:
        return not name or Path(name).is_absolute() or Path(name).is_file()
    except (OSError, ValueError):
        return True


def has_source(name: str) -> bool:
    """Whether a name begins with where it comes from, such as "hf:" or "ollama:"."""
    return name.startswith(_SOURCES)


def known_by_name(name: str) -> KnownModel | None:
    """The entry of the catalogue with this name, whatever its case."""
    wanted = name.casefold()
    return next((one for one in known_models() if one.name == wanted), None)


def known_as(model: FoundModel) -> KnownModel | None:
    """The entry of the catalogue that a model on this computer is a copy of."""
    if model.origin is None:
        return None
    return next((one for one in known_models() if one.source.origin == model.origin), None)


def source_of(name: str) -> HubFile:
    """Where a model is downloaded from, by its name in the catalogue or on the hub.

    Raises ModelNotFound with the nearest name, and UsageError for what is no name.
    """
    known = known_by_name(name)
    if known is not None:
        return known.source
    if name.startswith((PREFIX, "https://", "http://")):
        return parse(name)
    if name in EMBEDDED:
        raise UsageError(f"{name} is part of oa-chat.", "There is nothing to download.")
    nearest = _nearest(name, [one.name for one in known_models()])
    raise ModelNotFound(
        f"There is no model {name} in the catalogue.",
        f"{nearest}Any file of the hub goes as hf:owner/repository/file.gguf. {LIST}",
    )


def find(name: str) -> FoundModel:
    """The model on this computer with this name. Raises as `path_of` does."""
    models = found_models(models_dir())
    source = _wanted_source(name)
    if source is not None:
        copies = [model for model in models if model.origin == source.origin]
        if copies:
            return copies[0]
        raise _not_downloaded(name, source)
    named = [model for model in models if name.casefold() in _names(model)]
    named = [model for model in named if model.ours] or named
    if len(named) == 1:
        return named[0]
    if named:
        choices = [model.full_name for model in named]
        raise UsageError(f"There are {len(named)} models {name}.", _choose(choices))
    raise _unknown(name, models)


def _wanted_source(name: str) -> HubFile | None:
    known = known_by_name(name)
    if known is not None:
        return known.source
    return parse(name) if name.startswith(PREFIX) else None


def _names(model: FoundModel) -> set[str]:
    names = {model.name.casefold(), model.full_name.casefold()}
    if model.where == "Ollama":
        # As Ollama itself takes it.
        names |= {name.removesuffix(":latest") for name in names}
    return names


def _not_downloaded(name: str, source: HubFile) -> ModelNotFound:
    part = partial_path(source.below(models_dir()))
    started = "only partly downloaded" if part.is_file() else "not on this computer"
    return ModelNotFound(
        f"The model {name} is {started}.", f"Download it: oa-chat models pull {name}"
    )


def partial_path(path: Path) -> Path:
    """The file that a download is collected in until it is whole and checked."""
    return path.with_name(path.name + ".part")


def _unknown(name: str, models: Sequence[FoundModel]) -> ModelNotFound:
    names = [*EMBEDDED, *(one.name for one in known_models())]
    names += [model.name for model in models]
    return ModelNotFound(
        f"There is no model {name}.",
        f"{_nearest(name, names)}Name a .gguf file, or a model by its name. {LIST}",
    )


def _nearest(name: str, names: Sequence[str]) -> str:
    lower = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), lower, n=1, cutoff=0.5)
    return f"Did you mean {lower[near[0]]}? " if near else ""


def _choose(choices: Sequence[str]) -> str:
    more = f" and {len(choices) - _CHOICES} more" if len(choices) > _CHOICES else ""
    return f"Name one of them in full: {', '.join(choices[:_CHOICES])}{more}."
