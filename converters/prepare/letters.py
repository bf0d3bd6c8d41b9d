"""The letters of a text: what is left when case, spaces and punctuation do not count.

Exact and near duplicates and decontamination compare these. Kept are letters, digits, combining
marks (a Hindi vowel is one) and pictures such as emoji, which can be all that differs between a
kind sentence and a hateful one.
"""

from __future__ import annotations

import string
import unicodedata
from functools import lru_cache

_KEPT = frozenset(("L", "M", "N"))
_DROPPED_ASCII = "".join(chr(code) for code in range(128) if not chr(code).isalnum()).encode()
_REMEMBERED = 1000
"""Characters: 8,192 such texts take some megabytes."""
_NO_LETTERS = bytes(
    code for code in range(256) if chr(code) not in string.ascii_letters or code > 127
)


class _Table(dict[int, int | None]):
    """What `str.translate` asks for each character; remembers its answers."""

    def __missing__(self, code: int) -> int | None:
        kept = self._keeps(unicodedata.category(chr(code)), code)
        self[code] = code if kept else None
        return self[code]

    def _keeps(self, category: str, code: int) -> bool:
        # U+FE0E and U+FE0F only say how the picture before them is drawn.
        return (category[0] in _KEPT or category == "So") and code not in (0xFE0E, 0xFE0F)


class _OnlyLetters(_Table):
    def _keeps(self, category: str, code: int) -> bool:
        return category[0] in "LM" and code not in (0xFE0E, 0xFE0F)


_TABLE = _Table()
_ONLY_LETTERS = _OnlyLetters()


def folded(text: str) -> str:
    """The text in one case, letters, digits and pictures only.

    A text without any is returned without its white space, so that "?!" and "..." stay two texts.
    Several steps ask for the same texts, batch by batch: what they asked for last is remembered.
    """
    return _remembered(text) if len(text) <= _REMEMBERED else _folded(text)


def _folded(text: str) -> str:
    if text.isascii():
        kept = text.lower().encode().translate(None, _DROPPED_ASCII).decode()
    else:
        kept = unicodedata.normalize("NFC", text.casefold()).translate(_TABLE)
    return kept or "".join(text.split())


_remembered = lru_cache(maxsize=8192)(_folded)


def letters_in(text: str) -> int:
    """How many characters of the text are letters or marks on letters."""
    if text.isascii():
        return len(text.encode().translate(None, _NO_LETTERS))
    return len(text.translate(_ONLY_LETTERS))
