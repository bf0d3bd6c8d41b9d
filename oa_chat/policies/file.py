"""The policy file: what it may hold, and how it becomes a policy. Strict, since it guards.

An unknown key, category or value is an error that names the file, the line and the nearest name: a
line that silently counted for nothing would be a hole. Texts of a file are data: one line of plain
characters each, so that they cannot imitate the screen. Where files lie is `shelf`'s matter;
whether a readable file makes sense is `checks`'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from oa_chat.errors import SettingsError
from oa_chat.guards.taxonomy import CATEGORIES
from oa_chat.phrases import LONGEST_PHRASE, MOST_PHRASES, Phrases, fold
from oa_chat.policy import Action, CategoryRule, Languages, Policy
from oa_chat.printable import printable
from oa_chat.sampling import Sampling
from oa_chat.strict_toml import TomlKind, line_of
from oa_chat.verdict import Severity

LevelAction = Literal["pass", "nudge", "confirm", "block"]
CategoryAction = Literal["pass", "nudge", "confirm", "block", "help"]
Level = Literal[
    "casual",
    "possibly_needs_caution",
    "probably_needs_caution",
    "needs_caution",
    "needs_intervention",
]
UnknownLanguage = Literal["pass-with-mark", "nudge", "confirm", "block"]

_LONGEST_NAME = 40
_LONGEST_LINE = 300
_LONGEST_PROMPT = 20_000
_LANGUAGE = re.compile(r"[a-z]{2}")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the file's tables."""


class LevelTable(_Table, frozen=True):
    """`[levels]`: what happens at each level. All five have to be there."""

    casual: LevelAction
    possibly_needs_caution: LevelAction
    probably_needs_caution: LevelAction
    needs_caution: LevelAction
    needs_intervention: LevelAction


class CategoryTable(_Table, frozen=True):
    """`[categories.NAME]`: what happens to one category."""

    action: CategoryAction
    minimum: Level = "possibly_needs_caution"
    rule: str = ""


class PhraseTable(_Table, frozen=True):
    """`[phrases]`: plain texts, found as whole words."""

    allow: list[str] = []
    deny: list[str] = []


class LanguageTable(_Table, frozen=True):
    """`[languages]`: what happens to languages that the guard does not know."""

    known: list[str] | Literal["from guard"] = "from guard"
    unknown: UnknownLanguage = "nudge"
    rule: str = ""


class Persona(_Table, frozen=True):
    """`[persona]`: who replies, where the user's settings do not say."""

    system_prompt: str = ""
    model: str = ""
    sampling: Sampling = Sampling()


class GuardChoice(_Table, frozen=True):
    """`[guard]`: who judges, where the user's settings do not say."""

    judge: str = ""
    second: str = ""
    """A second guard for what `when` says."""
    when: Literal["unsure", "flagged", "always"] = "unsure"


class ReplyTable(_Table, frozen=True):
    """`[replies]`: how replies are checked."""

    mode: Literal["", "strict", "balanced", "note", "off"] = ""


if TYPE_CHECKING:

    class _Categories(_Table, frozen=True):
        """A field for each category."""
else:
    _Categories = msgspec.defstruct(
        "_Categories",
        [(name, CategoryTable | None, None) for name in sorted(CATEGORIES)],
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


class PolicyFile(_Table, frozen=True):
    """Everything in a policy file."""

    name: str
    levels: LevelTable
    description: str = ""
    categories: _Categories = _Categories()
    phrases: PhraseTable = PhraseTable()
    languages: LanguageTable = LanguageTable()
    persona: Persona = Persona()
    guard: GuardChoice = GuardChoice()
    replies: ReplyTable = ReplyTable()

    def category_tables(self) -> dict[str, CategoryTable]:
        """The categories that the file names."""
        named = {name: getattr(self.categories, name, None) for name in sorted(CATEGORIES)}
        return {name: table for name, table in named.items() if table is not None}


@dataclass(frozen=True, slots=True)
class Profile:
    """A policy file that was read."""

    policy: Policy
    file: PolicyFile
    path: Path
    text: str
    """As it stands in the file, to find lines in."""

    def line(self, *keys: str) -> str:
        """Where a key stands, for messages: "FILE, line 3"."""
        line = line_of(self.text, keys)
        return f"{self.path}, line {line}" if line else str(self.path)


KIND = TomlKind(
    PolicyFile,
    "policy file",
    "entry",
    SettingsError,
    "The format is described in docs/policy.md.",
)


def parse_profile(text: str, path: Path, chosen_by: str = "") -> Profile:
    """The policy in a TOML text; `path` is for messages. Raises SettingsError."""
    file = KIND.parse(text, path)
    rules = {name: _category_rule(table) for name, table in file.category_tables().items()}
    known = file.languages.known
    policy = Policy(
        name=file.name,
        actions=tuple(Action(action) for action in msgspec.structs.astuple(file.levels)),  # type: ignore[arg-type]
        description=file.description,
        categories=rules,
        allow=Phrases(tuple(file.phrases.allow)),
        deny=Phrases(tuple(file.phrases.deny)),
        languages=Languages(
            known=None if isinstance(known, str) else tuple(known),
            unknown=Action(file.languages.unknown.removesuffix("-with-mark")),
            rule=file.languages.rule,
        ),
        replies=file.replies.mode,
        chosen_by=chosen_by or str(path),
    )
    profile = Profile(policy, file, path, text)
    _check_texts(profile)
    return profile


def severity_of(level: str) -> Severity:
    """The severity of a level's name without its underscores."""
    return Severity.from_label(f"__{level}__")


def _category_rule(table: CategoryTable) -> CategoryRule:
    action = None if table.action == "help" else Action(table.action)
    return CategoryRule(action, severity_of(table.minimum), table.rule)


def _check_texts(profile: Profile) -> None:
    """Raise for a text that cannot be shown or sent as it stands."""
    file = profile.file
    _one_line(profile, file.name, _LONGEST_NAME, "name")
    if not file.name.strip():
        raise SettingsError(f"{profile.line('name')}: the name is empty.", "Give it one.")
    _one_line(profile, file.description, _LONGEST_LINE, "description")
    _one_line(profile, file.languages.rule, _LONGEST_LINE, "languages", "rule")
    if file.guard.judge == "none":
        raise SettingsError(
            f"{profile.line('guard', 'judge')}: guard.judge: a policy needs a guard.",
            "Take the line out; --guard none runs without a guard.",
        )
    for name, table in file.category_tables().items():
        _one_line(profile, table.rule, _LONGEST_LINE, "categories", name, "rule")
    for kind, phrases in (("allow", file.phrases.allow), ("deny", file.phrases.deny)):
        _check_phrases(profile, kind, phrases)
    for code in profile.policy.languages.known or ():
        if not _LANGUAGE.fullmatch(code):
            raise SettingsError(
                f"{profile.line('languages', 'known')}: languages.known: {printable(code)!r} is no"
                " language code.",
                'Use two small letters (ISO 639-1), such as "en" or "de", or "from guard".',
            )
    prompt = file.persona.system_prompt
    if printable(prompt) != prompt or len(prompt) > _LONGEST_PROMPT:
        raise SettingsError(
            f"{profile.line('persona', 'system_prompt')}: persona.system_prompt: it has characters"
            f" that do not show, or more than {_LONGEST_PROMPT:,}.",
            "Write it as plain text.",
        )


def _check_phrases(profile: Profile, kind: str, phrases: list[str]) -> None:
    if len(phrases) > MOST_PHRASES:
        raise SettingsError(
            f"{profile.line('phrases', kind)}: phrases.{kind}: more than {MOST_PHRASES:,} phrases.",
            "Leave some out.",
        )
    for phrase in phrases:
        _one_line(profile, phrase, LONGEST_PHRASE, "phrases", kind)
        if not any(character.isalnum() for character in fold(phrase)):
            raise SettingsError(
                f"{profile.line('phrases', kind)}: phrases.{kind}: {phrase!r} has no word in it.",
                "It would be found nearly everywhere, or nowhere. Write at least one word.",
            )


def _one_line(profile: Profile, text: str, longest: int, *keys: str) -> None:
    """Raise for what is no single line of characters that show, or is too long."""
    if printable(text) != text or "\n" in text or "\t" in text or len(text) > longest:
        raise SettingsError(
            f"{profile.line(*keys)}: {'.'.join(keys)}: it has to be one line of at most"
            f" {longest} characters that show.",
            "Take out line breaks, control characters and characters that do not show.",
        )
