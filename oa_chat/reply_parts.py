"""Where a streaming reply is cut into parts for the guard, and what a part is read with. Pure."""

from __future__ import annotations

import re

MOST = 200
"""Characters that may come without a check, where no sentence ends."""
BEFORE = 200
"""Characters of what came before a part that the guard reads along with it."""

_ENDS = re.compile(r"[.!?…؟]+[\"'”’»)\]*_]*(?=\s)|[。！？।][\"'”’»」』)\]]*|\n")
"""The ends of sentences and lines. A full stop counts once a space follows: ``3.14`` has none."""


def part_end(text: str) -> int:
    """How many characters of unread text make up the next part; 0 if no part is complete.

    A part ends with the last sentence that has ended; a text of `MOST` characters without such an
    end is a part as a whole.
    """
    end = 0
    for found in _ENDS.finditer(text):
        end = found.end()
    if end and text[:end].strip():
        return end
    return len(text) if len(text) >= MOST else 0


def window(before: str, part: str) -> str:
    """The part with the end of what came before it, from a whole word on."""
    tail = before[-BEFORE:]
    if len(before) > BEFORE:
        _, space, rest = tail.partition(" ")
        tail = rest if space else tail
    return (tail + part).strip()
