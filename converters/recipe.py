"""Recipes: TOML files that say what a run does, with ``key=value`` overrides from the shell.

A recipe is read strictly into the struct of its command. This module knows no command's keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from converters.errors import RecipeError
from oa_chat.strict_toml import TomlKind, reason_of

T = TypeVar("T", bound=msgspec.Struct)


def load_recipe(path: Path, struct: type[T], overrides: Sequence[str] = ()) -> T:
    """The recipe in a file, with overrides such as ``train.epochs=2`` put in.

    A value is read as TOML, else taken as text. Raises RecipeError with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from error
    kind = TomlKind(
        struct, "recipe", "key", RecipeError, "Correct the value, or take the line out."
    )
    if not overrides:
        return kind.parse(text, path)
    tables = kind.tables(text, path)
    kind.refuse_unknown(tables, text, path)
    for override in overrides:
        _put(tables, override)
    kind.refuse_unknown(tables, text, Path("the command line"))
    try:
        return msgspec.convert(tables, struct)
    except msgspec.ValidationError as error:
        reason, keys = reason_of(error)
        raise RecipeError(
            f"{path} with {' '.join(overrides)}: {'.'.join(keys)}: {reason}.",
            kind.allowed(keys) + kind.remedy,
        ) from error


def _put(tables: dict[str, Any], override: str) -> None:
    name, mark, value = override.partition("=")
    keys = [part.strip() for part in name.split(".")]
    if not mark or not all(keys):
        raise RecipeError(
            f"{override!r} is not of the form key=value.", "For example: train.epochs=2"
        )
    table = tables
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError(f"{override!r}: {key} is no table of the recipe.")
    table[keys[-1]] = _value(value.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
