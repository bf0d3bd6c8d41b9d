"""Typed text that imitates a guideline is made harmless before it is sent.

A model reads ``[Guideline: ...]`` at the end of a turn as this program's own words, so nobody else
may write it: not with other brackets, with letters that look alike, nor with characters in between
that do not show. This is about that one form; control tokens are the tokenizer's matter.
"""

from __future__ import annotations

import re
import unicodedata

_OPENINGS = "[［【〔⟦❲﹝⁅〚"
_OPENING = re.compile(f"[{re.escape(_OPENINGS)}]")
_WORD = "guideline:"
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("l1|!ıіӏɪǀι", "i"),
        **dict.fromkeys("ɡցǥğģ", "g"),
        **dict.fromkeys("υսúùûü", "u"),
        **dict.fromkeys("ԁďđ", "d"),
        **dict.fromkeys("еҽéèêë3", "e"),
        **dict.fromkeys("ոпñ", "n"),
        **dict.fromkeys("∶꞉ː﹕", ":"),
    }
)
"""Letters that pass for others, both sides folded the same way. What matters is that a reader, or a
model, takes them for the word."""
_UNSEEN = {"Cf", "Mn", "Me", "Cc", "Zs", "Zl", "Zp"}
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
_FARTHEST = 400
"""Characters looked at behind a bracket: more than any filler that leaves the word readable."""
_TARGET = _WORD.translate(_ALIKE)


def defuse(text: str) -> str:
    """The text with each bracket that opens an imitation turned into ``(``.

    Deterministic, and of the same length, so that a transcript once sent stays as it is.
    """
    return _OPENING.sub(lambda found: "(" if _opens(text, found.end()) else found[0], text)


def _opens(text: str, at: int) -> bool:
    """Whether what stands here reads as the word and its colon."""
    seen = ""
    for character in text[at : at + _FARTHEST]:
        if character in _BLANK_LETTERS or unicodedata.category(character) in _UNSEEN:
            continue
        plain = unicodedata.normalize("NFKD", character).casefold()
        seen += "".join(one for one in plain if unicodedata.category(one) not in _UNSEEN)
        folded = seen.translate(_ALIKE)
        if folded.startswith(_TARGET):
            return True
        if not _TARGET.startswith(folded):
            return False
    return False
