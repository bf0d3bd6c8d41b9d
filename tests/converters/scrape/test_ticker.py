"""The line that says how far a collection is, on a terminal and elsewhere."""

from __future__ import annotations

import io
import time
from datetime import datetime

from converters.scrape.ticker import Ticker

_UNTIL = 1_700_000_000.0
_END = datetime.fromtimestamp(_UNTIL).astimezone().strftime("%H:%M:%S")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_is_printed_now_and_then() -> None:
    stream, seconds = io.StringIO(), [0.0]
    with Ticker(stream, lambda: seconds[0]) as ticker:
        for number in range(30):
            seconds[0] = float(number)
            ticker.at(f"{number} posts")
    assert stream.getvalue().splitlines() == ["10 posts", "20 posts"]


def test_a_wait_is_always_told_with_its_end() -> None:
    stream = io.StringIO()
    with Ticker(stream) as ticker:
        ticker.waiting("the server's rate limit", _UNTIL)
    assert stream.getvalue() == f"Waiting until {_END}: the server's rate limit.\n"


def test_a_terminal_shows_one_line_and_keeps_notes() -> None:
    stream = Terminal()
    with Ticker(stream) as ticker:
        ticker.at("[red]3 posts[/red]\x1b[2J")
        ticker.note("r/[b]trees is left out\x07")
        ticker.waiting("the server's rate limit", _UNTIL)
        time.sleep(0.3)  # the line is renewed 12 times a second
    shown = stream.getvalue()
    assert "r/[b]trees is left out\u2407\n" in shown
    assert f"Waiting until {_END}: the server's rate limit." in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
