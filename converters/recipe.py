"""Recipes: TOML files that say what a run does, with ``key=value`` overrides from the shell.

A recipe is read strictly into the struct of its command, and found by its path or, if it ships, by
its name. This module knows no command's keys.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from converters.errors import RecipeError
from oa_chat.strict_toml import TomlKind, reason_of

T = TypeVar("T", bound=msgspec.Struct)
SHIPPED = Path(__file__).resolve().parent / "recipes"
"""The recipes that ship, of all commands."""


def find_recipe(named: str, key: str) -> Path:
    """The file of a recipe given by path, or by the name of one that ships. Raises RecipeError.

    `key` is what the recipes of this command, and of no other, have at their top.
    """
    path = Path(named)
    if path.suffix == ".toml" or path.exists():
        return path
    shipped = [
        file.stem
        for file in sorted(SHIPPED.glob("*.toml"))
        if key in tomllib.loads(file.read_text(encoding="utf-8"))
    ]
    if named in shipped:
        return SHIPPED / f"{named}.toml"
    near = difflib.get_close_matches(named, shipped, n=1, cutoff=0.5)
    raise RecipeError(
        f"There is no recipe {named!r}: no such file, and none of that name ships.",
        f"{f'Did you mean {near[0]}? ' if near else ''}Recipes that ship: {', '.join(shipped)}.",
    )


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
