"""Scrub: replaces personal data in a record by what kind it was, such as `<email>`.

Message, earlier turns and rules are scrubbed, and the finds are counted in the record's notes. It
knows e-mail addresses, phone numbers, IP addresses, user names, payment cards, IBANs and the user
in an address (`https://name:word@host`). It does not know people's names, streets or birthdays.

Overlapping finds: the longest counts. Applied twice it changes nothing: a placeholder is never a
find, and a changed text is looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from converters.extras import require
from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.internet import emails, handles, ips, logins
from converters.prepare.steps.numbers import Phones, cards, ibans

Span = tuple[int, int]
Finder = Callable[[str], list[Span]]

_DIGIT = re.compile(r"\d")
_AT_SPELT = re.compile(r"at ?[\])}]", re.IGNORECASE)
KINDS = ("email", "phone", "ip", "user", "card", "iban")


class ScrubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is replaced."""

    email: bool = True
    phone: bool = True
    ip: bool = True
    user: bool = True
    """Names such as `u/name`, `@name`, `name#1234`, and those in addresses."""
    card: bool = True
    iban: bool = True
    regions: tuple[str, ...] = ("US", "GB", "CA", "AU", "IN", "DE", "FR")
    """Where phone numbers without a country's code may come from (ISO 3166)."""


class Scrub:
    """The step; see the module."""

    name = "scrub"

    def __init__(self, settings: ScrubSettings) -> None:
        wanted = {kind for kind in KINDS if getattr(settings, kind)}
        around_at: list[tuple[str, Finder]] = [
            ("email", emails), ("user", logins), ("user", handles),
        ]  # fmt: skip
        numbers: list[tuple[str, Finder]] = [("ip", ips), ("card", cards), ("iban", ibans)]
        if "phone" in wanted:
            require("data", "phonenumbers")
            numbers.append(("phone", Phones(settings.regions).find))
        self._around_at = [pair for pair in around_at if pair[0] in wanted]
        self._numbers = [pair for pair in numbers if pair[0] in wanted]

    def apply(self, draft: Draft) -> str:
        """Replace what is found; always keeps the record."""
        notes = draft.notes
        draft.text = self.text(draft.text, notes)
        if draft.context:
            draft.context = [(role, self.text(said, notes)) for role, said in draft.context]
        if draft.rules:
            draft.rules = tuple(self.text(rule, notes) for rule in draft.rules)
        return KEEP

    def text(self, text: str, notes: dict[str, int]) -> str:
        """The text with placeholders; the finds are added to `notes`."""
        while spans := _longest(self._find(text)):
            pieces: list[str] = []
            at = 0
            for start, end, kind in spans:
                notes[kind] = notes.get(kind, 0) + 1
                pieces += (text[at:start], f"<{kind}>")
                at = end
            text = "".join((*pieces, text[at:]))
        return text

    def _find(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, kind) of everything found; they may overlap."""
        found: list[tuple[int, int, str]] = []
        if _names_may_be_in(text):
            for kind, find in self._around_at:
                found += [(start, end, kind) for start, end in find(text)]
        if _DIGIT.search(text):
            for kind, find in self._numbers:
                found += [(start, end, kind) for start, end in find(text)]
        return found


def _names_may_be_in(text: str) -> bool:
    """Whether any of the characters is there that every address or user name has."""
    if "@" in text or "/" in text or "#" in text or " dot " in text.lower():
        return True
    return (")" in text or "]" in text or "}" in text) and _AT_SPELT.search(text) is not None


def _longest(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The finds that stay, by place: of those that overlap the longest, else the first."""
    if len(found) < 2:
        return found
    kept: list[tuple[int, int, str]] = []
    for span in sorted(found, key=lambda span: (span[0] - span[1], span)):
        if all(span[1] <= start or span[0] >= end for start, end, _ in kept):
            kept.append(span)
    return sorted(kept)
