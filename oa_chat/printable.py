"""Text from others, made fit for a terminal: no escape sequences, no hidden direction marks.

What users, models and files say is data. Control characters are shown as symbols instead of being
obeyed; characters that reorder other text (Unicode UAX 9) or that do not show are left out. Markup
is not this module's matter.
"""

from __future__ import annotations

_KEPT = {"\n", "\t"}
_PICTURES = 0x2400
_DELETE = 0x7F
_UNSEEN = (0xFEFF, *range(0xE0000, 0xE0080))
"""The byte order mark, and tag characters: text that only a model reads."""
_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"

_TABLE: dict[int, str | None] = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in _KEPT},
    _DELETE: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    **dict.fromkeys(map(ord, _BIDI)),
    **dict.fromkeys(_UNSEEN),
    ord("\r"): None,
    # Line ends for some programs and not for others; all should agree.
    0x2028: "\n",
    0x2029: "\n",
}
"""Control characters become their pictures, C1 controls and lone surrogates U+FFFD."""


def printable(text: str) -> str:
    """The text with nothing in it that a terminal would obey."""
    return text.translate(_TABLE)
