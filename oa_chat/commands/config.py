"""`oa-chat config`: the settings in force, as the file would say them."""

from __future__ import annotations

from typing import Any

import msgspec

from oa_chat.assembly import Flags
from oa_chat.config import config_path


def print_path(flags: Flags) -> None:
    """Where the settings file lies, whether or not it exists."""
    print(flags.config or config_path())


def print_settings(flags: Flags) -> None:
    """The settings after file, environment and flags. What is unset is a comment."""
    print("\n".join(_toml(msgspec.to_builtins(flags.settings()))))


def _toml(table: dict[str, Any], above: str = "") -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{above}]"] if above and plain else []
    for key, value in plain.items():
        # JSON's strings and numbers are TOML's, too.
        said = msgspec.json.encode(value).decode()
        lines.append(f"# {key} is not set" if value is None else f"{key} = {said}")
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ([""] if lines else []) + _toml(value, f"{above}.{key}" if above else key)
    return lines
