"""Rules of thumb for guards that give a level but write no rule of their own.

The rules are plain data (`rules.toml`), so that anybody can read, add or replace them without
touching code. A message gets the rule that fits best, or the general rule of its level when none
fits well: a wrong rule is worse than a general one, above all when somebody needs help.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from oa_chat.errors import SettingsError
from oa_chat.rule_index import RuleIndex
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
_THRESHOLDS = (12.0, 12.0, 12.0, 12.0, 15.0)
"""The least score of a specific rule, by severity. Above what the messages for choosing asked for
(11 and 13), since a wrong rule is worse than a general one, most of all at severity 4."""
_SHORT_SHARE = 0.9
_SHORT_LEAST = 8.0
"""A short message need score no more than this share of its words' weight, if that is enough."""
_BELOW = 2
"""A rule this far below the level still fits: a lost friend is no answer to "I want to die"."""
_NEARLY = 0.9
"""A gentler rule wins from this share of the best score: scolding a victim is the worst answer."""
_MAX_FILE_BYTES = 5_000_000
_MAX_TEXT = 300
_KEYS = frozenset({"id", "text", "category", "severity", "examples", "gentler"})
_LANGUAGE = re.compile(r"[a-z]{2}")
_TRANSLATED = "rules.translated.toml"
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
class RuleMatch:
    """The rule for a message."""

    rule: Rule | None
    """None for a general rule."""
    text: str
    """What to show and to send along; empty only for a casual message without a rule."""
    category: str
    score: float
    """The best score of any candidate, also when it was too low. Not a probability."""
    general: bool
    source: Literal["rulebook", "general", "user"]


@dataclass(frozen=True)
class Rulebook:
    """All rules, ready to be matched. The index is built on first use."""

    rules: tuple[Rule, ...]
    general: Mapping[int, str]
    """The general rule's text by severity."""
    translations: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Texts by id and language; a general rule's id is `GENERAL_IDS` of its level."""
    same_words: Mapping[str, str] = field(default_factory=dict)
    """Words that count as another word in matching, such as "mom" as "mother"."""
    user_ids: frozenset[str] = frozenset()
    """Which rules come from the user's own file."""

    @classmethod
    def load(cls, user_file: Path | None = None) -> Rulebook:
        """The shipped rules, and the user's: a user's rule replaces a shipped one of its id."""
        shipped = resources.files("oa_chat").joinpath("rules.toml")
        book = _read(shipped.read_text(encoding="utf-8"), "rules.toml")
        texts = resources.files("oa_chat").joinpath(_TRANSLATED)
        spoken = _read(texts.read_text(encoding="utf-8"), _TRANSLATED)
        book = replace(book, translations=spoken.translations)
        if user_file is None:
            return book
        own = _read(_user_text(user_file), str(user_file))
        rules = {rule.id: rule for rule in (*book.rules, *own.rules)}
        _check_gentler(rules, str(user_file))
        _check_translated({*rules, *GENERAL_IDS}, own, str(user_file))
        # The translation of a shipped text says nothing about the user's own text.
        changed = {*(rule.id for rule in own.rules), *(GENERAL_IDS[level] for level in own.general)}
        kept = {key: text for key, text in book.translations.items() if key[0] not in changed}
        return cls(
            rules=tuple(rules.values()),
            general={**book.general, **own.general},
            translations={**kept, **own.translations},
            same_words={**book.same_words, **own.same_words},
            user_ids=frozenset(rule.id for rule in own.rules),
        )

    def match(self, message: str, severity: int) -> RuleMatch:
        """The rule that fits a message of this severity best, or the level's general rule."""
        if not 0 <= severity < _LEVELS:
            raise ValueError(f"severity must be 0 to {_LEVELS - 1}, not {severity}")
        scores, threshold = self._scores(message, severity)
        best = max(scores, key=lambda number: (scores[number], -number), default=None)
        score = scores[best] if best is not None else 0.0
        if best is None or score < threshold:
            text = self.general.get(severity, "")
            return RuleMatch(None, text, "general", score, general=True, source="general")
        gentler = self._numbers.get(self.rules[best].gentler)
        if gentler is not None and scores.get(gentler, 0.0) >= _NEARLY * score:
            best = gentler
        rule = self.rules[best]
        source: Literal["user", "rulebook"] = "user" if rule.id in self.user_ids else "rulebook"
        return RuleMatch(rule, rule.text, rule.category, scores[best], general=False, source=source)

    def words(self, match: RuleMatch, severity: int, language: str) -> str:
        """The text of a match in a language, or in English where it is not translated."""
        name = match.rule.id if match.rule else GENERAL_IDS[severity]
        return self.translations.get((name, language), match.text)

    def _scores(self, message: str, severity: int) -> tuple[dict[int, float], float]:
        """The candidates' scores, and the threshold for scores of that kind."""
        scores = {
            number: score
            for number, score in self._index.scores(message).items()
            if -_BELOW <= self.rules[number].severity - severity <= 1
        }
        enough = max(_SHORT_LEAST, _SHORT_SHARE * self._index.weight(message))
        return scores, min(_THRESHOLDS[severity], enough)

    @cached_property
    def _index(self) -> RuleIndex:
        return RuleIndex(((rule.text, *rule.examples) for rule in self.rules), self.same_words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {rule.id: number for number, rule in enumerate(self.rules)}


def _user_text(path: Path) -> str:
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


def _read(text: str, name: str) -> Rulebook:
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
    if name == "rules.toml":
        _check_gentler(rules, name)
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
    return Rulebook(tuple(rules.values()), general, translations, same_words)


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


def _check_translated(known: set[str], own: Rulebook, name: str) -> None:
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


def _check_gentler(rules: Mapping[str, Rule], name: str) -> None:
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
