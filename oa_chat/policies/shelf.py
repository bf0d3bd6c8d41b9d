"""Where policies are found: three that ship, the user's folder, and any path.

A shipped name always means the shipped policy: a file that happens to lie somewhere cannot take its
place. Files are read when they are asked for, so that a change counts from the next choice on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from oa_chat.errors import SettingsError
from oa_chat.policies.file import Profile, parse_profile
from oa_chat.policy import Policy

SHIPPED = ("relaxed", "balanced", "strict")
"""The policies that ship, the most permissive first."""

EXAMPLES = ".examples.toml"
"""How the name of a table of examples ends, beside the policy that it is for."""

_MOST_BYTES = 1_000_000
_NAME = re.compile(r"[\w .+()-]{1,40}")
"""A file name that can be offered as it is: no control characters, and nothing like markup."""


@cache
def shipped() -> Mapping[str, Policy]:
    """The shipped policies by name."""
    shelf = Shelf()
    return {name: shelf.load(name).policy for name in SHIPPED}


@dataclass(frozen=True, slots=True)
class Shelf:
    """The policies within reach."""

    folder: Path | None = None
    """The user's own, `policies` beside the settings file; it need not exist."""

    def names(self) -> list[str]:
        """The shipped names, then those of the user's files."""
        return [*SHIPPED, *self.own_names()]

    def own_names(self) -> list[str]:
        """The names of the user's files, in order."""
        try:
            found = sorted(self.folder.iterdir()) if self.folder else []
        except OSError:
            return []
        files = (path.name for path in found if path.name.endswith(".toml"))
        names = [name.removesuffix(".toml") for name in files if not name.endswith(EXAMPLES)]
        return [name for name in names if name not in SHIPPED and _NAME.fullmatch(name)]

    def path_of(self, wanted: str) -> Path:
        """The file of a name, or a path as it was given. Raises SettingsError for neither."""
        if wanted in SHIPPED:
            return shipped_file(f"{wanted}.toml")
        if wanted in self.own_names():
            assert self.folder is not None
            return self.folder / f"{wanted}.toml"
        path = Path(wanted).expanduser()
        if path.suffix == ".toml" or path.name != wanted:
            return path
        near = difflib.get_close_matches(wanted, self.names(), n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise SettingsError(
            f"There is no policy {wanted!r}.",
            f"{hint}Known: {', '.join(self.names())}; or the path of a policy file (.toml).",
        )

    def load(self, wanted: str) -> Profile:
        """A policy by name or path. Raises SettingsError."""
        path = self.path_of(wanted)
        return parse_profile(read_text(path, "policy file"), path, wanted)


def shipped_file(name: str) -> Path:
    """A file of this package."""
    return Path(str(resources.files("oa_chat.policies"))) / name


def read_text(path: Path, what: str) -> str:
    """The text of a file that a person wrote. Raises SettingsError."""
    try:
        with path.open("rb") as file:  # a device has no size to ask for, and no end
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise SettingsError(f"{path} is too large for a {what}.", "Is it the right file?")
        return raw.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"There is no {what} {path}.", "Correct the path.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"The {what} {path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8 text."
        ) from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"The {what} {path} cannot be read: {error}.") from error
