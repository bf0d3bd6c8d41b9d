"""How far a preparation is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_EVERY = 10.0
"""Seconds between plain lines."""


class Progress:
    """Says on standard error what is done. One step at a time."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars = not quiet and sys.stderr is not None and sys.stderr.isatty()

    def say(self, line: str) -> None:
        """One line of text."""
        if not self._quiet:
            click.echo(line, err=True)

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """A step of `total` parts; call what it gives with the number of parts that were done."""
        began = time.monotonic()
        with self._bar(name, total) if self._bars else self._plain(name, total) as done:
            yield done
        self.say(f"{name}: done in {time.monotonic() - began:.1f} s")

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        from rich.console import Console
        from rich.progress import Progress as Bars

        with Bars(console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(name, total=total or None)
            yield lambda count: bars.advance(task, count)

    @contextmanager
    def _plain(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        finished = 0
        said = time.monotonic()

        def done(count: int) -> None:
            nonlocal finished, said
            finished += count
            if time.monotonic() - said >= _EVERY:
                said = time.monotonic()
                self.say(f"{name}: {finished} of {total}" if total else f"{name}: {finished}")

        yield done
