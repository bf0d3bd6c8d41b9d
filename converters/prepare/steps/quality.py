"""Quality: drops what nobody would want to learn from, each with its own reason.

Only the message counts, not its context. It does not judge what is said, and a text in any script
passes: letters are counted, not ASCII letters. The phrases of bots and of moderation are Reddit's.
"""

from __future__ import annotations

import re

import msgspec

from converters.prepare.draft import KEEP, Draft
from converters.prepare.letters import letters_in

DELETED = "deleted"
FEW_LETTERS = "few letters"
REPEATED_LINES = "repeated lines"
REPEATED_WORDS = "repeated words"
CAPITALS = "all capitals"
LINKS = "mostly links"
BOT = "bot message"
BOILERPLATE = "boilerplate"

_GONE = frozenset(("[deleted]", "[removed]", "deleted", "removed", "[ removed by reddit ]"))
_PLACEHOLDER = re.compile(r"<(?:url|email|phone|ip|user|card|iban)>")
_LINK = re.compile(r"<url>|https?://\S+|\bwww\.\S+")
_BOT = re.compile(
    r"\bi(?:'| a)?m a (?:ro)?bot\b|\bbeep,? ?boop\b|\bperformed automatically\b"
    r"|\bthis is an automated (?:message|reply|response)\b|\bremindme! ?\d"
    r"|\bgood bot\b.{0,40}\bbad bot\b|\bautomoderator\b"
)
_BOILERPLATE = re.compile(
    r"\byour (?:submission|post|comment|thread) (?:has been|was) (?:automatically )?removed\b"
    r"|\bplease (?:contact|message) the mod(?:erator)?s\b|\bcontact the moderators of this\b"
    r"|\bthis (?:post|thread|submission) (?:has been|was) (?:locked|archived|removed by)\b"
    r"|\bsubscribe to (?:my|our) (?:channel|newsletter)\b|\bclick here to unsubscribe\b"
    r"|\ball rights reserved\b|\baccept (?:all )?cookies\b"
)
_HINTS = (
    "bot",
    "automat",
    "remindme",
    "boop",
    " mod",
    "removed",
    "locked",
    "archived",
    "subscri",
    " reserved",
    "cookies",
)
_FEWEST_LINES = 4
_FEWEST_WORDS = 10
_CAPITALS_LEAST = 10
"""Letters. "OK" and "LOL" are no shouting."""


class QualitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares run from 0 to 1; a share of 0 (for the largest shares: 1) switches a check off."""

    min_letters: float = 0.5
    """Of the characters that are no white space and no placeholder."""
    max_repeated_lines: float = 0.3
    """Lines that stand there already, of all lines; from 4 lines on."""
    max_repeated_words: float = 0.7
    """Words that stand there already, of all words; from 10 words on."""
    max_links: float = 0.5
    """Links and placeholders for links, of all words."""
    capitals: bool = True
    """Whether a text in capitals alone may stay."""
    bots: bool = False
    """Whether messages of bots may stay."""
    boilerplate: bool = False
    """Whether moderation notices and the like may stay."""


class Quality:
    """The step; see the module."""

    name = "quality"

    def __init__(self, settings: QualitySettings) -> None:
        self._settings = settings

    def apply(self, draft: Draft) -> str:
        """Keep the record, or give the first reason against it."""
        text = draft.text
        if len(text) < 30 and text.strip().lower() in _GONE:
            return DELETED
        words = text.split()
        return self._form(text, words) or self._repetition(text, words) or self._phrases(text)

    def _form(self, text: str, words: list[str]) -> str:
        settings = self._settings
        if "<url>" in text or "http" in text or "www." in text:
            links = len(_LINK.findall(text))
            if links > settings.max_links * len(words):
                return LINKS
        bare = _PLACEHOLDER.sub("", text) if "<" in text else text
        solid = len(bare) - bare.count(" ") - bare.count("\n")
        letters = letters_in(bare)
        if letters < settings.min_letters * max(solid, 1):
            return FEW_LETTERS
        if not settings.capitals and letters >= _CAPITALS_LEAST and bare.isupper():
            return CAPITALS
        return KEEP

    def _repetition(self, text: str, words: list[str]) -> str:
        settings = self._settings
        if text.count("\n") >= _FEWEST_LINES - 1:
            lines = [line for line in map(str.strip, text.splitlines()) if line]
            repeated = len(lines) - len(set(lines))
            if len(lines) >= _FEWEST_LINES and repeated > settings.max_repeated_lines * len(lines):
                return REPEATED_LINES
        if len(words) >= _FEWEST_WORDS:
            # A long text repeats its little words: only the first words are compared.
            words = words[:200]
            repeated = len(words) - len(set(words))
            if repeated > settings.max_repeated_words * len(words):
                return REPEATED_WORDS
        return KEEP

    def _phrases(self, text: str) -> str:
        lower = text.lower()
        for hint in _HINTS:  # far quicker than the patterns, and nearly always the end of it
            if hint in lower:
                break
        else:
            return KEEP
        if not self._settings.bots and _BOT.search(lower):
            return BOT
        if not self._settings.boilerplate and _BOILERPLATE.search(lower):
            return BOILERPLATE
        return KEEP
