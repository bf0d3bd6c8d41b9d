"""Length: drops what is too short or too long to learn from.

Counts characters and words of the message alone. Words are what white space separates, so for
languages written without spaces only the characters say anything.
"""

from __future__ import annotations

import msgspec

from converters.prepare.draft import KEEP, Draft

SHORT = "too short"
LONG = "too long"


class LengthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a message may be; 0 as a maximum is no limit."""

    min_characters: int = 3
    max_characters: int = 2000
    min_words: int = 1
    max_words: int = 400


class Length:
    """The step; see the module."""

    name = "length"

    def __init__(self, settings: LengthSettings) -> None:
        self._characters = (settings.min_characters, settings.max_characters)
        self._words = (settings.min_words, settings.max_words)

    def apply(self, draft: Draft) -> str:
        """Keep the record, or say which way it is wrong."""
        fewest, most = self._characters
        length = len(draft.text)
        if length < fewest:
            return SHORT
        if most and length > most:
            return LONG
        fewest, most = self._words
        if fewest <= 1 and (not most or length < 2 * most) and not draft.text.isspace():
            return KEEP  # there cannot be too many words, and there is one
        words = len(draft.text.split())
        if words < fewest:
            return SHORT
        return LONG if most and words > most else KEEP
