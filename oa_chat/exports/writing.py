"""An export on disk: whole or not at all, and never over a file that nobody named."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from oa_chat.errors import UsageError


def write_export(path: Path, text: str, *, replace: bool) -> None:
    """Write a file in UTF-8. Raises UsageError if it exists and may not be replaced."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", "Name a file in it.")
        if path.exists() and not replace:
            raise UsageError(f"{path} exists already.", "Choose another --out, or add --force.")
        with part.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
