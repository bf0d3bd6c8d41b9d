"""Where a person can get help, in lines, for every front end."""

from __future__ import annotations

import os

from oa_chat.config import Settings
from oa_chat.help_lines import country_from_locale, lines_for

_COLUMNS = 68
"""What a line has on a screen of 80 columns."""


def help_lines(settings: Settings) -> list[str]:
    """Where a person can get help: the settings' country, else the locale's. One entry each.

    An entry that is too long for a line of 80 columns has two.
    """
    found = lines_for(settings.help.country or country_from_locale(os.environ))
    assumed = f" ({found.name})" if found.name else ""
    lines = [f"You do not have to carry this alone. Someone to talk to{assumed}:"]
    emergency = found.emergency or "please call your local emergency number"
    lines.append(f"In danger right now: {emergency}")
    for line in (*found.lines, found.international):
        reach = ", ".join(part for part in (line.number, line.url) if part)
        notes = ", ".join(filter(None, (line.hours, "" if line.confirmed else "not confirmed")))
        said = reach + (f" ({notes})" if notes else "")
        # A number must not be cut in two where the screen ends a line.
        gap = " " if len(line.name) + len(said) + 2 <= _COLUMNS else "\n  "
        lines.append(f"{line.name}:{gap}{said}")
    return lines
