"""Reads TOML files that people write, strictly: settings, recipes, policies.

An unknown key or a wrong value is an error that names the file, the line and the nearest key. This
module knows no file's contents: what is allowed stands in the msgspec structs handed to it.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import msgspec

from oa_chat.errors import OaChatError

_ENDLESS_KEY = re.compile(
    r"""(?<![\w.\-"'])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){100}"""
)
"""A key of so many parts that tomllib, whose time grows with their square, would be busy for long:
70 s for 50,000."""

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class TomlKind(Generic[T]):
    """One kind of file: what it may hold, and how its errors are worded."""

    struct: type[T]
    what: str
    """What the file is called in messages: "settings file"."""
    entry: str
    """What one of its keys is called: "setting"."""
    error: type[OaChatError]
    remedy: str = "Correct the value, or take the line out to use the default."

    def parse(self, text: str, path: Path) -> T:
        """The contents of a TOML text; `path` is for messages. Raises `error`."""
        tables = self.tables(text, path)
        self.refuse_unknown(tables, text, path)
        try:
            return msgspec.convert(tables, self.struct)
        except msgspec.ValidationError as error:
            reason, keys = reason_of(error)
            raise self.error(
                f"{_place(path, text, keys)}: {'.'.join(keys) or 'the file'}: {reason}.",
                self.allowed(keys) + self.remedy,
            ) from error

    def tables(self, text: str, path: Path) -> dict[str, Any]:
        """The text as plain tables, not yet checked."""
        deep = self.error(f"The {self.what} {path} is nested too deeply.", "Is it the right file?")
        if _ENDLESS_KEY.search(text):
            raise deep
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self.error(
                f"The {self.what} {path} is not valid TOML: {error}.", "Correct that line."
            ) from error
        except RecursionError as error:
            raise deep from error

    def refuse_unknown(self, tables: Mapping[str, Any], text: str, path: Path) -> None:
        """Raise for the first key that the struct does not know, with the nearest one."""
        self._refuse(tables, self.struct, (), lambda keys: _place(path, text, keys))

    def _refuse(
        self, table: Mapping[str, Any], section: type[Any], above: tuple[str, ...], place: Any
    ) -> None:
        hints = get_type_hints(section)
        for key, value in table.items():
            keys = (*above, key)
            if key not in hints:
                near = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
                hint = f"Did you mean {'.'.join((*above, near[0]))}?" if near else ""
                raise self.error(
                    f"{place(keys)}: there is no {self.entry} {'.'.join(keys)}.",
                    f"{hint} Known here: {', '.join(hints)}.".strip(),
                )
            inner = _struct_in(hints[key])
            if inner is None:
                continue
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    self._refuse(one, inner, keys, place)

    def allowed(self, keys: tuple[str, ...]) -> str:
        """The values that a key can have, where they are a closed list."""
        kind: Any = self.struct
        for key in keys:
            kind = _struct_in(kind) or kind
            kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
        values = [value for part in (kind, *get_args(kind)) for value in get_args(part)]
        words = [value for value in values if isinstance(value, str)]
        return f"It can be {', '.join(words)}. " if words else ""


def reason_of(error: msgspec.ValidationError) -> tuple[str, tuple[str, ...]]:
    """What is wrong, and the keys that lead to it."""
    reason, _, where = str(error).partition(" - at ")
    return reason, tuple(re.findall(r"[A-Za-z_]\w*", where))


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a type is, or holds as list or optional."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for part in get_args(kind) if (found := _struct_in(part))), None)


def _place(path: Path, text: str, keys: tuple[str, ...]) -> str:
    line = line_of(text, keys)
    return f"{path}, line {line}" if line else str(path)


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """The number of the line where a key (or its table) stands, if it can be told.

    tomllib gives no positions; this reads plain `[table]` and `key = value` lines, which is what
    people write.
    """
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            table = _dotted(header[1])
            if table == keys:
                return number
            continue
        assignment = re.match(r"\s*([\w\-.\"' ]+?)\s*=", line)
        if assignment and (*table, *_dotted(assignment[1]))[: len(keys)] == keys:
            return number
    return None


def _dotted(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
