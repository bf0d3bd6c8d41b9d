"""Shows a download on standard error: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from oa_chat.commands.terminal import is_terminal
from oa_chat.printable import printable

if TYPE_CHECKING:
    from oa_chat.downloads.fetching import Phase, Progress

_STEP = 10
"""Percent between two lines."""
_PHASES: dict[Phase, str] = {
    "asking": "Asking",
    "downloading": "Downloading",
    "waiting": "Waiting",
    "checking": "Checking",
    "done": "Done",
}


@contextlib.contextmanager
def shown(name: str) -> Iterator[Callable[[Progress], None]]:
    """Something to tell progress to, for as long as the download lasts."""
    if is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
        with _bar() as tell:
            yield tell
    else:
        yield _Lines(name)


class _Lines:
    """A line for each phase, and for each tenth of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: tuple[str, int] = ("", 0)

    def __call__(self, progress: Progress) -> None:
        if progress.phase == "waiting":
            if progress.note and self._said[0] != "waiting":
                self._say(f"Waiting: {progress.note}")
            self._said = ("waiting", 0)
            return
        percent = 100 * progress.done // progress.total if progress.total else 0
        step = (progress.phase, percent // _STEP * _STEP)
        if progress.phase != "done" and step != self._said:
            started = self._said[0] != progress.phase
            self._said = step
            of = f" ({progress.total:,} bytes)" if started and progress.total else ""
            share = "" if progress.phase == "asking" else f": {step[1]} %{of}"
            self._say(f"{_PHASES[progress.phase]}{share}")

    def _say(self, text: str) -> None:
        print(printable(f"{self._name}: {text}"), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True), expand=True) as bars:
        task = bars.add_task("Asking", total=None)
        phase = "asking"

        def tell(progress: Progress) -> None:
            nonlocal phase
            if progress.phase == "checking" != phase:
                bars.reset(task)  # another speed
            if progress.phase == "waiting" != phase and progress.note:
                bars.print(printable(f"Waiting: {progress.note}"), markup=False, highlight=False)
            phase = progress.phase
            bars.update(
                task,
                description=_PHASES[phase],
                completed=progress.done,
                total=progress.total or None,
            )

        yield tell
