"""Where a person can get help, in lines, for every front end."""

from __future__ import annotations

import os

from oa_chat.config import Settings
from oa_chat.help_lines import country_from_locale, lines_for


def help_lines(settings: Settings) -> list[str]:
    """Where a person can get help, in lines: the settings' country, else the locale's."""
    found = lines_for(settings.help.country or country_from_locale(os.environ))
    assumed = f" ({found.name})" if found.name else ""
    lines = [f"You do not have to carry this alone. Someone to talk to{assumed}:"]
    if found.emergency:
        lines.append(f"In danger right now: {found.emergency}")
    for line in (*found.lines, found.international):
        reach = ", ".join(part for part in (line.number, line.url) if part)
        notes = ", ".join(filter(None, (line.hours, "" if line.confirmed else "not confirmed")))
        lines.append(f"{line.name}: {reach}" + (f" ({notes})" if notes else ""))
    return lines
