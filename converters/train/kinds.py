"""The kinds of training: one file and one line here for each."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from converters.errors import RecipeError
from converters.recipe import load_recipe
from converters.train.files import Folders
from converters.train.job import Job
from converters.train.settings import Recipe

_KINDS = {
    "classifier": "converters.train.classifier",
    "seq2seq": "converters.train.seq2seq",
    "chat": "converters.train.chat",
}


class Kind(Protocol):
    """The module of a kind."""

    RECIPE: type[Recipe]
    """How its recipe looks."""

    def open_job(self, recipe: Any, folders: Folders) -> Job:
        """Read the data and open the model. Raises PipelineErrors."""
        ...


def read_recipe(path: Path, overrides: Sequence[str]) -> tuple[Recipe, Kind]:
    """A recipe and the module of its kind. Raises RecipeError."""
    kind = _named(path, overrides)
    module: Any = importlib.import_module(_KINDS[kind])
    return load_recipe(path, module.RECIPE, overrides), module


def _named(path: Path, overrides: Sequence[str]) -> str:
    """The kind alone: which keys are known depends on it."""
    try:
        kind = tomllib.loads(path.read_text(encoding="utf-8")).get("kind", "")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.") from error
    said = [text.partition("=")[2].strip(" \"'") for text in overrides if text.startswith("kind=")]
    kind = said[-1] if said else kind
    if kind not in _KINDS:
        raise RecipeError(
            f"{path}: there is no kind {kind!r} of training."
            if kind
            else f"{path}: no kind given.",
            f'Write kind = "..." with one of {", ".join(_KINDS)}.',
        )
    return kind
