"""The tokenizer files of a checkpoint folder: which tokens were added, and which plays what part.

transformers writes the same fact into up to four files, and the versions differ in which ones; here
they become one answer. The vocabularies themselves are read in `vocabulary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.convert.checkpoint import read_json
from converters.errors import ConversionError

_MOST_TOKENS = 2**22
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True, slots=True)
class Added:
    """A token beside the vocabulary proper."""

    text: str
    special: bool


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What the files say, besides the vocabulary."""

    folder: Path
    json: Mapping[str, Any]
    """tokenizer.json; empty if there is none."""
    class_name: str
    added: Mapping[int, Added]
    roles: Mapping[str, str]
    """"bos", "eos", ... -> the token's text; what has no token is missing."""
    chat_template: str

    def section(self, name: str) -> Mapping[str, Any]:
        """An object of tokenizer.json; empty if it is null or missing."""
        value = self.json.get(name)
        return value if isinstance(value, dict) else {}

    def wrong(self, key: str, problem: str, hint: str = "") -> ConversionError:
        """An error about a key of tokenizer.json, or about its absence."""
        if not self.json:
            return ConversionError(
                f"{self.folder} holds no tokenizer.json.",
                "Save the tokenizer beside the weights: tokenizer.save_pretrained.",
            )
        return ConversionError(f"{self.folder / 'tokenizer.json'}: {key}: {problem}.", hint)


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Read what there is. Raises ConversionError for files that make no sense."""
    whole = read_json(folder / "tokenizer.json") or {}
    config = read_json(folder / "tokenizer_config.json") or {}
    roles = read_json(folder / "special_tokens_map.json") or {}
    template = config.get("chat_template")
    file = folder / "chat_template.jinja"
    if file.is_file():
        template = file.read_text(encoding="utf-8")
    return TokenizerFiles(
        folder=folder,
        json=whole,
        class_name=str(config.get("tokenizer_class") or ""),
        added=_added(folder, whole, config),
        roles={role: text for role in ROLES if (text := _text(config, roles, f"{role}_token"))},
        chat_template=template if isinstance(template, str) else "",
    )


def _text(*places: Any) -> str:
    """The text at a key (the last argument) of the first table that has one."""
    *tables, key = places
    for table in tables:
        value = table.get(key)
        found: Any = value.get("content") if isinstance(value, dict) else value
        if isinstance(found, str) and found:
            return found
    return ""


def _added(folder: Path, whole: Mapping[str, Any], config: Mapping[str, Any]) -> dict[int, Added]:
    """Added tokens of all three places; the newest form wins."""
    found: dict[int, Added] = {}
    legacy = read_json(folder / "added_tokens.json") or {}
    for text, number in legacy.items():
        _put(found, folder / "added_tokens.json", number, text, True)
    decoder = config.get("added_tokens_decoder")
    for number, entry in (decoder if isinstance(decoder, dict) else {}).items():
        place = folder / "tokenizer_config.json"
        key = int(number) if str(number).isdigit() else number
        _put(found, place, key, _text(entry, "content"), entry.get("special", True))
    listed = whole.get("added_tokens")
    for entry in listed if isinstance(listed, list) else []:
        place = folder / "tokenizer.json"
        if not isinstance(entry, dict):
            raise ConversionError(f"{place}: added_tokens: {entry!r:.60} is no token.")
        _put(found, place, entry.get("id"), entry.get("content"), entry.get("special", True))
    return found


def _put(found: dict[int, Added], place: Path, number: Any, text: Any, special: Any) -> None:
    if type(number) is not int or not 0 <= number < _MOST_TOKENS or not isinstance(text, str):
        raise ConversionError(f"{place}: an added token has the id {number!r:.40}, which is none.")
    found[number] = Added(text, bool(special))
