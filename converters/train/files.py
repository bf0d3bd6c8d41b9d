"""The files of a recipe: paths with ``{data}``, and the hashes of what was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from converters.errors import DataError, RecipeError
from converters.provenance import sha256_of


def data_files(names: Iterable[str], data: Path | None) -> dict[str, Path]:
    """The paths by their names in the recipe. Raises RecipeError or DataError."""
    found: dict[str, Path] = {}
    for name in names:
        if "{data}" in name and data is None:
            raise RecipeError(
                f"The recipe names {name}, and no folder was given for {{data}}.",
                "Say where the data lies: --data FOLDER",
            )
        path = Path(name.replace("{data}", str(data)))
        if not path.is_file():
            raise DataError(f"There is no file {path}.", "Correct the recipe, or --data FOLDER.")
        found[name] = path
    return found


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 by the name in the recipe."""
    return {name: sha256_of(path) for name, path in sorted(files.items())}
