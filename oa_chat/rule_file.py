"""Files with rules of thumb: their types, and how they are read and checked.

The shipped rules and a person's own file have one format (docs/rulebook.md). A mistake is an error
that names the file, the line, the rule and what to do. Nothing is matched here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oa_chat.errors import SettingsError
from oa_chat.verdict import Severity

# fmt: off
CATEGORIES = frozenset({
    "abuse", "animals", "assistant", "community", "copyright", "crime", "dating", "driving",
    "eating", "environment", "ethics", "extremism", "family", "fraud", "friendship", "hacking",
    "harassment", "hate", "honesty", "jailbreak", "legal", "medical", "minors",
    "misinformation", "money", "other", "politics", "privacy", "profanity", "school",
    "self_harm", "sexual", "substances", "violence", "weapons", "work",
})
"""All categories. "other" is for rules of your own that belong nowhere else; "copyright", "ethics",
"jailbreak", "politics" and "profanity" are what guards name and no shipped rule is about."""
# fmt: on

_LEVELS = 5
GENERAL_IDS = tuple(f"general-{level.words.replace(' ', '-')}" for level in Severity)
"""What the general rules are called in translations, by severity."""
_MAX_FILE_BYTES = 5_000_000
_MAX_TEXT = 300
_KEYS = frozenset({"id", "text", "category", "severity", "examples", "gentler"})
_LANGUAGE = re.compile(r"[a-z]{2}")
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FORMAT = "The format is described in docs/rulebook.md."


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of thumb and the kind of message it is for."""

    id: str
    text: str
    category: str
    severity: int
    """The level from which it fits; it is a candidate from one level below."""
    examples: tuple[str, ...]
    gentler: str = ""
    """The id of a rule to prefer when it fits nearly as well, or an empty string."""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a file says."""

    rules: tuple[Rule, ...]
    general: Mapping[int, str]
    """The general rules' texts by severity."""
    translations: Mapping[tuple[str, str], str]
    """Texts by id (of a rule, or one of `GENERAL_IDS`) and language."""
    same_words: Mapping[str, str]
    """Words that count as another word in matching."""


def user_text(path: Path) -> str:
    """The text of a user's file. Raises SettingsError when it cannot be read."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError(f"{path} is too large for a rules file.", hint=_FORMAT)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8 text."
        raise SettingsError(f"{path} is not UTF-8 (byte {error.start}).", hint=hint) from error
    except OSError as error:
        hint = "Check the path and its permissions, or remove it from your settings."
        raise SettingsError(f"Cannot read {path}: {error.strerror}.", hint=hint) from error


def read_rules(text: str, name: str) -> RuleFile:
    """The rules in a TOML text; `name` is the file's name in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = f"Correct the TOML there. {_FORMAT}"
        raise SettingsError(f"{name} is not valid TOML: {error}.", hint=hint) from error
    unknown = data.keys() - {"rule", "general", "translation", "same_words"}
    if unknown:
        hint = f"Only [[rule]], [[general]], [[translation]] and same_words are known. {_FORMAT}"
        raise SettingsError(f"{name}: unknown entry {min(unknown)!r}.", hint=hint)
    rules: dict[str, Rule] = {}
    for entry, where in _tables(data, "rule", text, name):
        rule = _rule(entry, where)
        if rule.id in rules:
            raise SettingsError(f"{where}: the id is used twice.", hint="Give each rule its own.")
        rules[rule.id] = rule
    general: dict[int, str] = {}
    for entry, where in _tables(data, "general", text, name):
        general[_severity(entry, where, lowest=1)] = _text(entry.get("text"), "text", where)
    translations: dict[tuple[str, str], str] = {}
    for entry, where in _tables(data, "translation", text, name):
        key, words = _translation(entry, where)
        if key in translations:
            raise SettingsError(f"{where}: it is there twice in {key[1]!r}.", hint=_FORMAT)
        translations[key] = words
    same_words = _same_words(data.get("same_words", []), name)
    return RuleFile(tuple(rules.values()), general, translations, same_words)


def _tables(
    data: Mapping[str, Any], kind: str, text: str, name: str
) -> list[tuple[Mapping[str, Any], str]]:
    """The tables of a kind, each with where it is, in words for an error."""
    tables = data.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"{name}: {kind} must be written as [[{kind}]].", hint=_FORMAT)
    heading = re.compile(rf"[ \t]*\[\[[ \t]*{kind}[ \t]*\]\]")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if heading.match(line)]
    places = []
    for number, table in enumerate(tables):
        line = f", line {lines[number]}" if len(lines) == len(tables) else ""
        label = table.get("id", f"number {number + 1}")
        places.append((table, f"{name}{line}, {kind} {label!s:.60}"))
    return places


def _rule(entry: Mapping[str, Any], where: str) -> Rule:
    """A rule from its table. Raises SettingsError with the place and what to do."""
    unknown = entry.keys() - _KEYS
    if unknown:
        hint = f"Known keys: {', '.join(sorted(_KEYS))}."
        raise SettingsError(f"{where}: unknown key {min(unknown)!r}.", hint=hint)
    identity = _text(entry.get("id"), "id", where)
    if not _ID.fullmatch(identity):
        hint = "Use lower-case words joined by hyphens, such as be-kind-to-cats."
        raise SettingsError(f"{where}: the id is not in kebab-case.", hint=hint)
    category = entry.get("category", "other")
    if not isinstance(category, str) or category not in CATEGORIES:
        hint = f"Use one of: {', '.join(sorted(CATEGORIES))}."
        raise SettingsError(f"{where}: unknown category {category!r}.", hint=hint)
    examples = entry.get("examples")
    if not isinstance(examples, list) or not examples:
        hint = 'Add messages that the rule is for: examples = ["...", "...", "..."].'
        raise SettingsError(f"{where}: examples must be a list with something in it.", hint=hint)
    return Rule(
        id=identity,
        text=_text(entry.get("text"), "text", where),
        category=category,
        severity=_severity(entry, where),
        examples=tuple(_text(example, "each example", where) for example in examples),
        gentler=_text(entry["gentler"], "gentler", where) if "gentler" in entry else "",
    )


def _translation(entry: Mapping[str, Any], where: str) -> tuple[tuple[str, str], str]:
    """The id and language of a translated text, and the text."""
    unknown = entry.keys() - {"id", "language", "text"}
    if unknown:
        hint = "Known keys: id, language, text."
        raise SettingsError(f"{where}: unknown key {min(unknown)!r}.", hint=hint)
    spoken = entry.get("language")
    if not isinstance(spoken, str) or not _LANGUAGE.fullmatch(spoken) or spoken == "en":
        hint = 'Use a code of two letters (ISO 639-1), such as "de".'
        raise SettingsError(f"{where}: language must be one that is not English.", hint=hint)
    identity = _text(entry.get("id"), "id", where)
    return (identity, spoken), _text(entry.get("text"), "text", where)


def check_translated(known: set[str], own: RuleFile, name: str) -> None:
    """Raise SettingsError if a text is translated that is not there."""
    for identity, spoken in own.translations:
        if identity not in known:
            hint = "Name the id of a rule, or one of: " + ", ".join(GENERAL_IDS[1:]) + "."
            message = f"{name}, translation {identity!r} ({spoken}): there is no such rule."
            raise SettingsError(message, hint=hint)


def _text(value: object, key: str, where: str) -> str:
    """A line of text that can be shown on a screen and put into a prompt."""
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{where}: {key} must be a text.", hint=_FORMAT)
    if len(value) > _MAX_TEXT or not value.isprintable():
        hint = f"Write one line of at most {_MAX_TEXT} characters."
        raise SettingsError(f"{where}: {key} is too long or not plain text.", hint=hint)
    return value.strip()


def _severity(entry: Mapping[str, Any], where: str, lowest: int = 0) -> int:
    value = entry.get("severity")
    if type(value) is not int or not lowest <= value < _LEVELS:
        hint = "0 is casual, 4 is needs intervention."
        message = f"{where}: severity must be a whole number from {lowest} to {_LEVELS - 1}."
        raise SettingsError(message, hint=hint)
    return value


def check_gentler(rules: Mapping[str, Rule], name: str) -> None:
    """Raise SettingsError if a rule prefers one that is not there."""
    for rule in rules.values():
        if rule.gentler and rule.gentler not in rules:
            message = f"{name}, rule {rule.id}: there is no gentler rule {rule.gentler!r}."
            raise SettingsError(message, hint="Name the id of another rule, or leave it out.")


def _same_words(lines: object, name: str) -> dict[str, str]:
    """Each word and the first word of its line, which stands for all of them."""
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        hint = 'Write it like same_words = ["mother mom mum"].'
        raise SettingsError(f"{name}: same_words must be a list of texts.", hint=hint)
    split = [line.casefold().split() for line in lines]
    return {word: group[0] for group in split for word in group[1:]}
