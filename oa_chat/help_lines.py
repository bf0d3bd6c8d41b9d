"""Where a person can get help, by country: shown when a message needs intervention.

The lines are data (`help_lines.toml`), each with a source and a date where somebody has looked,
since a number that no longer works is worse than none. Nothing here looks anything up on a network:
that somebody needs help is nobody else's business.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Topic = Literal["crisis", "abuse", "children"]

_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z]{4})?[-_]([A-Za-z]{2})(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class HelpLine:
    """One line that a person can call or write to."""

    name: str
    topic: Topic
    number: str
    """As it is dialled in the country; empty if there is only a site."""
    url: str
    hours: str
    """Such as "24/7"; empty when not known for sure."""
    site: str
    """Where the line speaks for itself: the place to check it again."""
    source: str
    """The public page where the number was read; empty if nobody has looked."""
    checked: str
    """The day of that, such as "2026-11-24"; empty if nobody has looked."""

    @property
    def confirmed(self) -> bool:
        """Whether the number was found in a public source."""
        return bool(self.source and self.checked)


@dataclass(frozen=True, slots=True)
class HelpLines:
    """What to show to a person in one country, or anywhere."""

    country: str | None
    """ISO code, or None when the country is unknown or has no list."""
    name: str
    emergency: str
    """The number for danger to life; empty when the country is unknown."""
    lines: tuple[HelpLine, ...]
    """Crisis lines first. May be empty."""
    international: HelpLine
    """A directory of lines all over the world, good everywhere."""
    reviewed: dt.date

    def about(self, topic: Topic) -> tuple[HelpLine, ...]:
        """The lines about one topic."""
        return tuple(line for line in self.lines if line.topic == topic)


def lines_for(country: str | None) -> HelpLines:
    """The lines of a country (ISO code, any case); the international one alone if unknown."""
    data = _data()
    code = (country or "").strip().upper()
    entry = next((entry for entry in data["country"] if entry["code"] == code), None)
    union = data["european_union"]
    lines = [_line(line) for line in entry["lines"]] if entry else []
    if code in union["members"] and not any(line.topic == "children" for line in lines):
        lines.append(_line(union["line"]))
    emergency = union["emergency"] if code in union["members"] else ""
    return HelpLines(
        country=code if lines else None,
        name=entry["name"] if entry else "",
        emergency=entry["emergency"] if entry else emergency,
        lines=tuple(lines),
        international=_line(data["international"]),
        reviewed=data["reviewed"],
    )


def country_from_locale(env: Mapping[str, str]) -> str | None:
    """The country in the locale variables, such as DE for de_DE.UTF-8, or None.

    A guess: a locale says how dates are written, not where somebody is. So the screen names the
    country it assumed, and the settings can say another. A variable without a country (C, POSIX,
    en) is passed over, as containers and services often set LC_ALL=C for other reasons.
    """
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        found = _LOCALE.match(env.get(variable, ""))
        if found:
            return found[1].upper()
    return None


def _line(entry: Mapping[str, Any]) -> HelpLine:
    return HelpLine(
        name=entry["name"],
        topic=entry["topic"],
        number=entry.get("number", ""),
        url=entry.get("url", ""),
        hours=entry["hours"],
        site=entry["site"],
        source=entry["source"],
        checked=entry["checked"],
    )


@cache
def _data() -> dict[str, Any]:
    file = resources.files("oa_chat").joinpath("help_lines.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))
