"""Which models there are by name, and where their files lie.

Now: the three small models that ship inside the package. Anything else is a path. This module
reads no model and downloads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from oa_chat.errors import ModelNotFound


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
    " For a real one: oa-chat --model PATH",
)
GUARD = EmbeddedModel("embedded", "guard-minilm-q8_0.gguf", "embedded guard")
RULE_WRITER = EmbeddedModel("rule-writer", "rule-writer-q8_0.gguf", "rule writer")

_MODELS = {model.name: model for model in (STARTER, GUARD, RULE_WRITER)}


def path_of(name: str) -> Path:
    """The file of a model, given a name or a path.

    A path is only expanded here; whether it can be used is the engine's matter.
    """
    if name in _MODELS:
        return embedded_path(_MODELS[name])
    return Path(name).expanduser()


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
    """What the screen calls a model: an embedded model's title, else the file's name."""
    if name in _MODELS:
        return _MODELS[name].title
    stem = Path(name).name
    return stem.removesuffix(".gguf") or name
