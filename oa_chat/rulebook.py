"""Rules of thumb for guards that give a level but write no rule of their own.

The rules are plain data (`rules.toml`), so that anybody can read, add or replace them without
touching code. A message gets the rule that fits best, or the general rule of its level when none
fits well: a wrong rule is worse than a general one, above all when somebody needs help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal

from oa_chat.rule_file import CATEGORIES as CATEGORIES  # noqa: PLC0414 - the rulebook's own
from oa_chat.rule_file import (
    GENERAL_IDS,
    Rule,
    check_gentler,
    check_translated,
    read_rules,
    user_text,
)
from oa_chat.rule_index import RuleIndex

_LEVELS = 5
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
_SHIPPED, _TRANSLATED = "rules.toml", "rules.translated.toml"


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that shares words with a message."""

    rule: Rule
    score: float
    words: tuple[str, ...]
    """The shared words and pairs of words, as typed, worth most first."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What was compared for a message."""

    best: tuple[Candidate, ...]
    """Highest score first."""
    threshold: float
    """The least score of a specific rule for this message."""


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
        folder = resources.files("oa_chat")
        book = read_rules(folder.joinpath(_SHIPPED).read_text(encoding="utf-8"), _SHIPPED)
        check_gentler({rule.id: rule for rule in book.rules}, _SHIPPED)
        spoken = read_rules(folder.joinpath(_TRANSLATED).read_text(encoding="utf-8"), _TRANSLATED)
        texts = spoken.translations
        if user_file is None:
            return cls(book.rules, book.general, texts, book.same_words)
        own = read_rules(user_text(user_file), str(user_file))
        rules = {rule.id: rule for rule in (*book.rules, *own.rules)}
        check_gentler(rules, str(user_file))
        check_translated({*rules, *GENERAL_IDS}, own, str(user_file))
        # The translation of a shipped text says nothing about the user's own text.
        changed = {*(rule.id for rule in own.rules), *(GENERAL_IDS[level] for level in own.general)}
        kept = {key: text for key, text in texts.items() if key[0] not in changed}
        return cls(
            rules=tuple(rules.values()),
            general={**book.general, **own.general},
            translations={**kept, **own.translations},
            same_words={**book.same_words, **own.same_words},
            user_ids=frozenset(rule.id for rule in own.rules),
        )

    def match(self, message: str, severity: int, language: str = "") -> RuleMatch:
        """The rule that fits a message of this severity best, or the level's general rule.

        The text is in the message's language (ISO 639-1; "" is unknown) where it is translated.
        """
        scores, threshold = self._scores(message, severity, language)
        best = max(scores, key=lambda number: (scores[number], -number), default=None)
        score = scores[best] if best is not None else 0.0
        if best is None or score < threshold:
            text = self.general.get(severity, "")
            text = self.translations.get((GENERAL_IDS[severity], language), text)
            return RuleMatch(None, text, "general", score, general=True, source="general")
        gentler = self._numbers.get(self.rules[best].gentler)
        if gentler is not None and scores.get(gentler, 0.0) >= _NEARLY * score:
            best = gentler
        rule = self.rules[best]
        source: Literal["user", "rulebook"] = "user" if rule.id in self.user_ids else "rulebook"
        text = self.translations.get((rule.id, language), rule.text)
        return RuleMatch(rule, text, rule.category, scores[best], general=False, source=source)

    def candidates(
        self, message: str, severity: int, language: str = "", most: int = 4
    ) -> Candidates:
        """The best candidates of `match`, with the words that they share with the message."""
        scores, threshold = self._scores(message, severity, language)
        best = sorted(scores, key=lambda number: (-scores[number], number))[:most]
        found = tuple(
            Candidate(self.rules[number], scores[number], self._index.shared(message, number))
            for number in best
        )
        return Candidates(found, threshold)

    def _scores(self, message: str, severity: int, language: str) -> tuple[dict[int, float], float]:
        """The candidates' scores, and the threshold for scores of that kind.

        The shipped rules are about English words: for a message in another language ("die Frau")
        only a person's own rules are candidates.
        """
        if not 0 <= severity < _LEVELS:
            raise ValueError(f"severity must be 0 to {_LEVELS - 1}, not {severity}")
        foreign = language not in ("", "en")
        scores = {
            number: score
            for number, score in self._index.scores(message).items()
            if -_BELOW <= self.rules[number].severity - severity <= 1
            and (not foreign or self.rules[number].id in self.user_ids)
        }
        enough = max(_SHORT_LEAST, _SHORT_SHARE * self._index.weight(message))
        return scores, min(_THRESHOLDS[severity], enough)

    @cached_property
    def _index(self) -> RuleIndex:
        return RuleIndex(((rule.text, *rule.examples) for rule in self.rules), self.same_words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {rule.id: number for number, rule in enumerate(self.rules)}
