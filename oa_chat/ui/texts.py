"""Long texts and lines of text, as this screen draws them.

Whatever is shown passes through `oa_chat.printable` first, here or where it is drawn. The text that
is sent and stored stays as it is; only what is drawn changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from oa_chat.printable import printable


def printable_columns(text: str) -> str:
    """Printable, with exactly one character for each: for an editor, where columns matter."""
    if text.isprintable():
        return text
    return "".join(map(_one_column, text))


def _one_column(character: str) -> str:
    shown = printable(character)
    return shown if len(shown) == 1 and shown != "\n" else "\ufffd"


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
