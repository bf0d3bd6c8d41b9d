"""How far reading dump files is, on standard error: bars on a terminal, else a line now and then.

Measured is by the bytes of the files as they lie on the disk, because how long their text is only
turns out at the end. This module counts nothing itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from converters.scrape.dump_file import Amount
from converters.scrape.ticker import Ticker
from oa_chat.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


_ALL, _MERGING = -1, -2
"""The bars that are no file's."""


class Progress(Protocol):
    """Hears how far the work is."""

    def read(self, number: int, amount: Amount) -> None:
        """So much of a file is read by now; the first time, so much was before."""

    def merged(self, records: int, total: int) -> None:
        """So many of all records are put together."""


class Unseen:
    """Shows nothing."""

    def read(self, number: int, amount: Amount) -> None:
        """Nothing."""

    def merged(self, records: int, total: int) -> None:
        """Nothing."""


class DumpProgress:
    """Shows it; a context, so that bars are gone at the end."""

    def __init__(
        self,
        files: Sequence[Path],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = [path.name for path in files]
        self._sizes = [path.stat().st_size for path in files]
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._ticker = Ticker(self._stream, clock)
        self._bars: Bars | None = None
        self._tasks: dict[int, TaskID] = {}
        self._amounts: dict[int, Amount] = {}
        self._began = clock()
        self._before = Amount()
        """What was read before this run."""

    def __enter__(self) -> DumpProgress:
        if self._stream.isatty():
            self._bars = _bars(self._stream)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def note(self, text: str) -> None:
        """Say something that stays to be read."""
        self._ticker.note(text)

    def read(self, number: int, amount: Amount) -> None:
        """So much of a file is read by now; the first time, so much was before."""
        if number not in self._amounts:
            self._before += amount
        self._amounts[number] = amount
        if self._bars is None:
            self._ticker.at(self._line())
            return
        self._show(_ALL, "all files", sum(self._sizes), self._all())
        size = self._sizes[number]
        self._show(number, self._names[number], size, amount)
        self._bars.update(self._tasks[number], visible=amount.packed < size)

    def merged(self, records: int, total: int) -> None:
        """So many of all records are put together."""
        text = f"putting the files together: {records:,} of {total:,} records"
        if self._bars is None:
            self._ticker.at(text)
            return
        for task in self._tasks.values():
            self._bars.update(task, visible=False)
        if _MERGING not in self._tasks:
            self._tasks[_MERGING] = self._bars.add_task("", total=total, facts="")
        task = self._tasks[_MERGING]
        self._bars.update(task, description=text, completed=records, visible=True)

    def _show(self, number: int, name: str, size: int, amount: Amount) -> None:
        assert self._bars is not None
        if number not in self._tasks:
            from rich.markup import escape

            shown = escape(printable(name))
            self._tasks[number] = self._bars.add_task(
                shown, total=size, completed=amount.packed, facts=""
            )
        facts = f"{amount.kept:,} kept"
        if number == _ALL:
            facts += f", {self._rate():.0f} MB/s of text"
        self._bars.update(self._tasks[number], completed=amount.packed, facts=facts)

    def _all(self) -> Amount:
        return sum(self._amounts.values(), Amount())

    def _rate(self) -> float:
        """MB of text a second, in this run."""
        return (self._all().text - self._before.text) / 1e6 / max(0.001, self._seconds())

    def _seconds(self) -> float:
        return self._clock() - self._began

    def _line(self) -> str:
        done, size = self._all(), sum(self._sizes)
        shown = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
        line = (
            f"{done.packed / size:.0%} of {shown} read ({self._rate():.0f} MB/s of "
            f"text), {done.kept:,} records kept"
        )
        read = done.packed - self._before.packed
        if read <= 0:
            return line
        left = int((size - done.packed) * self._seconds() / read)
        return f"{line}, about {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


def _bars(stream: TextIO) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        Left(),
        TextColumn("{task.fields[facts]}"),
    )
    # Files are heard of every two seconds; rich's usual half minute of memory is short for that.
    return Progress(
        *columns, console=Console(file=stream), transient=True, speed_estimate_period=300
    )
