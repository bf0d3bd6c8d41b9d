"""How far a long run is, on standard error: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_SECONDS = 10.0
"""Between two lines where there is no terminal."""


class Advance(Protocol):
    """Called with the number of steps that were done since."""

    def __call__(self, steps: int, /) -> None:
        """Count the steps."""
        ...


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Shows `what` with its steps out of `total` while the block runs."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        with _bar(console, what, total, done) as advance:
            yield advance
        return
    started = last = time.monotonic()
    count = done

    def line(steps: int) -> None:
        nonlocal last, count
        count += steps
        now = time.monotonic()
        if now - last >= _SECONDS:
            last = now
            left = remaining(now - started, count - done, total - count)
            say(f"{what}: {count:,} of {total:,}{left}")

    yield line


def remaining(seconds: float, steps: int, left: int) -> str:
    """How long `left` steps will take if `steps` took `seconds`, as the end of a line."""
    if not left or not steps:
        return ""
    guess = seconds / steps * left
    return f", about {guess / 60:.0f} min left" if guess >= 90 else f", about {guess:.0f} s left"


@contextmanager
def _bar(console: object, what: str, total: int, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from oa_chat.printable import printable

    assert isinstance(console, Console)
    columns = (
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(escape(printable(what)), total=total, completed=done)
        yield lambda steps: bars.advance(task, steps)


def say(text: str) -> None:
    """A line on standard error."""
    from oa_chat.printable import printable

    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()
