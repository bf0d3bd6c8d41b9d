"""Phrases of a policy, found in a message however they are dressed up.

Plain text, never a pattern: case, width, ligatures, letters of other scripts that look Latin, marks
on letters, characters that do not show and the amount of white space make no difference. A phrase
counts as whole words. Misspellings, digits for letters and spelling out are not seen through.

Folding is Unicode's NFKC and case folding; the look-alikes are the common ones of Unicode's
confusables list (UTS 39), lower case alone, since case is folded first.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

MOST_PHRASES = 1000
LONGEST_PHRASE = 200
"""Characters, as written and as folded."""

_ALIKE = str.maketrans(
    "аевԁһіјӏкмносрԛгѕтихуԝɡɩαβγικνορτυχ’‘ʼ‐‑‒–—",
    "aebdhijlkmhocpqrstuxywgiabyikvoptux'''-----",
)
"""Cyrillic and Greek letters, and signs, as the Latin ones that they pass for."""
_MARKS = dict.fromkeys(range(0x300, 0x370))
"""Accents of Latin, Greek and Cyrillic. Signs of other scripts are letters of their own."""
_UNSEEN = dict.fromkeys(
    code
    for first, last in (
        *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5)),
        *((0x180E, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F)),
        *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0)),
        (0xE0000, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""What does not show: zero-width, direction and tag characters, variation selectors, fillers."""
_SPACE = re.compile(r"\s+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Scripts that write no spaces: their words have no edges to look for."""


def fold(text: str) -> str:
    """The text as it is compared. The same text for everything that reads the same."""
    shown = text.translate(_UNSEEN)
    if not shown.isascii():
        plain = unicodedata.normalize("NFKC", shown).casefold()
        plain = unicodedata.normalize("NFKD", plain).translate(_UNSEEN | _MARKS)
        shown = unicodedata.normalize("NFKC", plain).casefold().translate(_ALIKE)
    return _SPACE.sub(" ", shown.casefold()).strip()


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases as a person wrote them, ready to be looked for."""

    written: tuple[str, ...] = ()

    def first_in(self, text: str) -> str:
        """The phrase that comes first in a text, as it was written; empty if there is none.

        Of two that begin at the same place the longer one.
        """
        if not self.written:
            return ""
        folded = fold(text)
        best, place = "", (len(folded), 0)
        for phrase, pattern, written in _compiled(self.written):
            # A plain search first: it takes a twentieth of the pattern's time.
            if phrase in folded and (found := pattern.search(folded)):
                best, place = min((written, (found.start(), -len(phrase))), (best, place), key=_at)
        return best


def _at(found: tuple[str, tuple[int, int]]) -> tuple[int, int]:
    return found[1]


@cache
def _compiled(written: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str], str], ...]:
    """Each phrase folded, its pattern, and as it was written."""
    named = ((fold(phrase), phrase) for phrase in written)
    return tuple((folded, re.compile(_edged(folded)), phrase) for folded, phrase in named if folded)


def _edged(folded: str) -> str:
    """The phrase as a pattern of its own characters, with word edges where it has any."""
    before = r"(?<!\w)" if _has_edge(folded[0]) else ""
    after = r"(?!\w)" if _has_edge(folded[-1]) else ""
    return f"{before}{re.escape(folded)}{after}"


def _has_edge(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _UNSPACED.match(character)
