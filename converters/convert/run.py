"""What `oa-chat convert` prints: progress on standard error, the table on standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from converters.convert.convert import Converted, Options, Watcher, convert_checkpoint
from converters.convert.delegate import delegate
from converters.convert.legacy import convert_legacy
from converters.convert.registry import is_ours
from converters.convert.report import Report, print_report
from converters.convert.writer import OnBytes
from converters.errors import ConversionError
from converters.extras import require
from oa_chat.errors import UsageError
from oa_chat.printable import printable

_MEBIBYTE = 1024**2
_PLAIN_SECONDS = 10.0
"""Between two lines of progress where standard error is no terminal."""
UNVERIFIED = "NOT VERIFIED: nobody has compared this file with its original. It may answer wrongly."


def run(checkpoint: Path, out: Path, options: Options, llama_cpp: Path | None) -> None:
    """Convert, and say what came of it. Raises PipelineErrors and UsageErrors."""
    require("train", "gguf", "numpy")
    started = time.perf_counter()
    if not checkpoint.exists():
        hint = "Check the path. A model of a hub has to be downloaded first."
        raise ConversionError(f"There is no {checkpoint}.", hint)
    if options.sample is not None and not options.verify:
        raise UsageError("--sample belongs to the verification.", "Leave out --no-verify.")
    screen = _Screen()
    _refuse_overwriting_itself(checkpoint, out)
    try:
        if checkpoint.is_file():
            converted = convert_legacy(checkpoint, out, options, screen)
        elif llama_cpp is not None and not is_ours(checkpoint):
            converted = delegate(llama_cpp, checkpoint, out, options, screen)
        else:
            converted = convert_checkpoint(checkpoint, out, options, screen)
    except OSError as error:
        raise ConversionError(
            f"{out} cannot be written: {error.strerror or error}.",
            "Is there room on the disk (for a float32 copy too), and may you write there?"
            " Nothing was left behind.",
        ) from error
    _tell(converted, time.perf_counter() - started)


def _refuse_overwriting_itself(checkpoint: Path, out: Path) -> None:
    if out.exists() and out.resolve() == checkpoint.resolve() and out.is_file():
        raise ConversionError(f"{out} is the checkpoint itself.", "Name another output.")


def _tell(converted: Converted, seconds: float) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for notice in converted.notices:
        console.print(Text(f"note: {printable(notice)}"))
    size = converted.path.stat().st_size
    sys.stdout.write(
        f"{printable(str(converted.path))}  {size / _MEBIBYTE:.1f} MiB  {seconds:.1f} s\n"
    )
    if not converted.verified:
        console.print(Text(UNVERIFIED, style="bold red"))


class _Screen(Watcher):
    """Progress for a person, or a plain line now and then for a log."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)

    def say(self, text: str) -> None:
        """A step begins."""
        self._console.print(Text(printable(text)))

    @contextmanager
    def writing(self, what: str, size: int) -> Iterator[OnBytes]:
        """A bar while a file is written."""
        if not self._console.is_terminal:
            yield self._plain(what, size)
            return
        columns = (
            TextColumn(f"writing {what}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("", total=size)
            yield lambda count: progress.advance(task, count)

    def _plain(self, what: str, size: int) -> OnBytes:
        self.say(f"writing {what}, {size / _MEBIBYTE:.0f} MiB")
        done, said = 0, time.monotonic()

        def on_bytes(count: int) -> None:
            nonlocal done, said
            done += count
            if time.monotonic() - said > _PLAIN_SECONDS:
                said = time.monotonic()
                self.say(f"writing {what}: {done / max(1, size):.0%}")

        return on_bytes

    def found(self, report: Report, name: str) -> None:
        """Print the table."""
        print_report(report, f"Verification of {name}")
