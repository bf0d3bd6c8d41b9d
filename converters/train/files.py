"""The files of a recipe: where their paths lead, and the hashes of what was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from converters.errors import DataError, RecipeError
from converters.provenance import sha256_of
from converters.train.machine import first_process


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the paths of a recipe begin."""

    data: Path | None = None
    """What ``{data}`` stands for."""
    recipe: Path = Path()
    """Where the recipe lies: a relative path is looked for there, then in the current folder."""

    def path(self, name: str) -> Path:
        """The file of a name in the recipe; it need not exist."""
        plain = Path(name.replace("{data}", str(self.data)))
        beside = self.recipe / plain
        return beside if "{data}" not in name and beside.is_file() else plain


def data_files(names: Iterable[str], folders: Folders) -> dict[str, Path]:
    """The paths by their names in the recipe. Raises RecipeError or DataError."""
    found: dict[str, Path] = {}
    for name in names:
        if "{data}" in name and folders.data is None:
            raise RecipeError(
                f"The recipe names {name}, and no folder was given for {{data}}.",
                "Say where the data lies: --data FOLDER",
            )
        path = folders.path(name)
        if not path.is_file():
            raise DataError(f"There is no file {path}.", "Correct the recipe, or --data FOLDER.")
        found[name] = path
    return found


def telling(text: str) -> None:
    """A line on standard error about what takes a while, from the first process alone."""
    if first_process():
        click.echo(text, err=True)


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 by the name in the recipe."""
    return {name: sha256_of(path) for name, path in sorted(files.items())}
