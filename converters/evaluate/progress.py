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
    last, count = time.monotonic(), done

    def line(steps: int) -> None:
        nonlocal last, count
        count += steps
        if time.monotonic() - last >= _SECONDS:
            last = time.monotonic()
            say(f"{what}: {count:,} of {total:,}")

    yield line


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
