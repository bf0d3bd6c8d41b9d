"""Text from others, as this screen draws it: `oa_chat.printable`, and what only a screen needs.

Whatever is shown passes through here first. The text that is sent and stored stays as it is; only
what is drawn changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oa_chat.printable import printable as harmless

_EXTRA = {
    # Line ends for `str.splitlines`, but not for a Markdown parser: the two must agree.
    0x2028: "\n",
    0x2029: "\n",
    # Tag characters: invisible, but a model reads them.
    **dict.fromkeys(range(0xE0000, 0xE0080), "\ufffd"),
}
_RISKY = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with control characters as visible symbols and bidi overrides disarmed."""
    return harmless(text).translate(_EXTRA) if _RISKY.search(text) else text


def printable_columns(text: str) -> str:
    """The same, with exactly one character for each: for an editor, where columns matter."""
    return _RISKY.sub(lambda found: printable(found[0]).strip() or "\ufffd", text)


def one_line(text: str, limit: int = 200) -> str:
    """The text on one line, shortened with an ellipsis: for lists, titles and folded views."""
    line = " ".join(printable(text[: limit * 4]).split())
    return line if len(line) <= limit and len(text) <= limit * 4 else line[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """How much of a long text is shown."""

    whole: int
    """A text of up to this many characters is shown whole, if it has few lines as well."""
    lines: int
    head: int
    """Characters of the beginning of a longer text."""
    tail: int
    """Characters of its end."""


MESSAGE = Excerpt(whole=4000, lines=60, head=600, tail=200)
REPLY = Excerpt(whole=8000, lines=200, head=6000, tail=600)
SENT = Excerpt(whole=4000, lines=120, head=2400, tail=1000)
RULE = Excerpt(whole=800, lines=12, head=600, tail=100)


def excerpt(text: str, size: Excerpt = MESSAGE) -> str:
    """The text, or its beginning and end if it is long, so that drawing it costs little."""
    if len(text) <= size.whole and text.count("\n") < size.lines:
        return printable(text)
    first = "\n".join(text[: size.head].split("\n")[: size.lines // 3])
    start = max(len(first), len(text) - size.tail)
    last = "\n".join(text[start:].split("\n")[-(size.lines // 3) :])
    left_out = len(text) - len(first) - len(last)
    if left_out <= 0:
        return printable(text)
    return f"{printable(first)}\n… {left_out:,} more characters …\n{printable(last)}"
