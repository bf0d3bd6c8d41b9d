"""Normalise: one way of writing for every text, before any other step looks at it.

Unicode NFC, no control or zero-width characters, "\\n" for line ends, entities and markdown
resolved, `<url>` for addresses, long runs of one character cut, white space tidied; the earlier
turns and the rules too. Applied twice it changes nothing: each text is worked on until it stays
the same. What people wrote is not corrected, and names (`/u/`, `/r/`) are left to `scrub`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

import msgspec

from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.markup import without_markdown, without_urls

EMPTY = "nothing left"
TANGLED = "tangled markup"

_PASSES = 12
"""Real posts settle after 2 or 3; nested marks without end are somebody's joke."""
_SIMPLE = re.compile(
    r"(?!\n)[ !\"$%'()+,\-.0-9:;=?@A-Za-z{}]*+"
    r"(?:(?<! )\n\n?(?=[A-Za-z])[ !\"$%'()+,\-.0-9:;=?@A-Za-z{}]*+)*+"
)
"""Characters that no pass changes, if also none of the texts below occurs. A line that begins with
a letter opens no list, quote or rule."""
_STRANGE = ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs")
_JOINERS = (0x200C, 0x200D)
"""Between letters of Persian or Hindi, and in emoji, these two are spelling."""
_JOINER = re.compile(r"(?<![^\x00-\u02ff\s])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\u02ff\s])")
_SPACES = re.compile(r" {2,}")
_LINE_EDGES = re.compile(r" ?\n ?")
_MANY_LINES = re.compile(r"\n{3,}")


class NormaliseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stays of a text."""

    markdown: bool = True
    """Whether markdown is taken off; false for texts that never were markdown."""
    quotes: Literal["remove", "keep"] = "remove"
    """Lines that quote somebody (`> ...`): their words are another person's."""
    code: Literal["remove", "keep"] = "keep"
    urls: bool = True
    """Whether an address becomes `<url>`."""
    longest_run: int = 4
    """Of one character (no digit); "soooooo" becomes "soooo". 0 leaves all."""


class _Characters(dict[int, str | int | None]):
    """For `str.translate`: strange characters go, spaces of all kinds become one."""

    def __missing__(self, code: int) -> str | int | None:
        category = unicodedata.category(chr(code))
        answer: str | int | None = code
        if code == 0x0A or code in _JOINERS or 0xE0020 <= code <= 0xE007F:
            answer = code  # the last are the tags in the flags of England, Scotland and Wales
        elif category in ("Zl", "Zp") or code in (0x0B, 0x0C, 0x85):
            answer = "\n"
        elif category == "Zs" or code == 0x09:
            answer = " "
        elif category in _STRANGE:
            answer = None
        self[code] = answer
        return answer


_CHARACTERS = _Characters()


class Normalise:
    """The step; see the module."""

    name = "normalise"

    def __init__(self, settings: NormaliseSettings) -> None:
        self._markdown = settings.markdown
        self._quotes = settings.quotes == "keep"
        self._code = settings.code == "keep"
        self._urls = settings.urls
        longest = settings.longest_run
        self._run = re.compile(rf"([^\d\s])\1{{{longest},}}") if longest > 0 else None
        self._shortened = r"\1" * longest
        self._zeros = bytes(longest)

    def apply(self, draft: Draft) -> str:
        """Rewrite message, turns and rules; drop a record whose message vanishes."""
        text = self.text(draft.text)
        if not text:
            return EMPTY if text is not None else TANGLED
        draft.text = text
        if draft.context:
            turns = [(role, self.text(said)) for role, said in draft.context]
            draft.context = [(role, said) for role, said in turns if said]
        if draft.rules:
            draft.rules = tuple(rule for rule in map(self.text, draft.rules) if rule)
        return KEEP

    def text(self, text: str) -> str | None:
        """The text, normalised; None if its markup has no end."""
        if self._is_simple(text):
            return text
        for _ in range(_PASSES):
            before, text = text, self._pass(text)
            if text == before:
                return text
        return None

    def _is_simple(self, text: str) -> bool:
        return (
            _SIMPLE.fullmatch(text) is not None
            and "  " not in text
            and "www." not in text.lower()
            and text[:1] != " "
            and text[-1:] != " "
            and "---" not in text
            and "- -" not in text
            and not self._has_run(text)
        )

    def _has_run(self, text: str) -> bool:
        """Whether a run is too long, or (other than ASCII) may be."""
        if self._run is None or not text.isascii():
            return self._run is not None
        # Every character against the one before it, all at once: where they are equal, a zero.
        # A tenth of the time of the pattern, which has to look back at each character.
        number = int.from_bytes(text.encode())
        same = (number ^ (number >> 8)).to_bytes(len(text))
        return self._zeros in same and self._run.search(text) is not None

    def _pass(self, text: str) -> str:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if "&" in text:
            text = html.unescape(text)
        if not (text.isascii() and text.isprintable()):
            text = unicodedata.normalize("NFC", text.translate(_CHARACTERS))
            text = _JOINER.sub("", text)
        if self._markdown:
            text = without_markdown(text, quotes=self._quotes, code=self._code)
        if self._urls:
            text = without_urls(text)
        if self._run and self._has_run(text):
            text = self._run.sub(self._shortened, text)
        text = _SPACES.sub(" ", text)
        if "\n" in text:
            text = _MANY_LINES.sub("\n\n", _LINE_EDGES.sub("\n", text))
        return text.strip()
