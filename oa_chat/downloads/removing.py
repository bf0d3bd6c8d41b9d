"""Takes downloaded models away again, and nothing but those: other programs' files are theirs."""

from __future__ import annotations

from pathlib import Path

from oa_chat.catalog import partial_path
from oa_chat.downloads.partial import belongings
from oa_chat.errors import ModelError, UsageError
from oa_chat.hub_names import HubFile


def remove(path: Path, folder: Path) -> int:
    """Delete a model below `folder` with all its parts, and what was begun of it; the bytes freed.

    Folders that are empty then go, too. Raises UsageError if it lies elsewhere, ModelError if the
    system refuses.
    """
    if not path.is_relative_to(folder) or path == folder:
        raise UsageError(f"{path} was not downloaded by oa-chat.", "Remove it where it came from.")
    freed = 0
    for part in _parts(path, folder):
        for file in (part, *belongings(part)):
            freed += _unlink(file)
    for above in path.parents:
        if above == folder or any(above.iterdir()):
            break
        above.rmdir()
    return freed


def begun(path: Path) -> bool:
    """Whether there is something of a model, whole or in part."""
    return path.is_file() or partial_path(path).is_file()


def _parts(path: Path, folder: Path) -> list[Path]:
    said = path.relative_to(folder).parts
    try:
        source = HubFile("/".join(said[:2]), "/".join(said[2:]))
        return [part.below(folder) for part in source.parts()]
    except UsageError:  # put there by hand
        return [path]


def _unlink(file: Path) -> int:
    try:
        size = file.lstat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ModelError(
            f"{file} cannot be removed: {error.strerror}.",
            "A chat that uses it keeps it on some systems: leave that first.",
        ) from error
    return size
