"""Runs a long command behind one line that says how far it is; the whole output goes to a log.

On a terminal the line is updated in place with the time it has taken. Elsewhere (CI, a pipe) a
plain line is printed now and then. If the command fails, the end of the log is shown.
"""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

NINJA = re.compile(r"^\s*\[(\d+)/(\d+)\]\s")
PIP_STEPS = re.compile(
    r"^\s*(Collecting \S+|Downloading \S+ \([^)]*\)|Using cached \S+|Installing collected packages"
    r"|Installing build dependencies|Building wheel for \S+|Preparing metadata|Configuring CMake)"
)
CONFIGURING = re.compile(r"^\s*\*\*\* Configuring CMake")
QUIET_SECONDS = 15.0
TAIL_LINES = 40


def describe(line: str) -> str | None:
    """What a line of pip's or ninja's output says about the progress, if anything."""
    if ninja := NINJA.match(line):
        return f"compiling {ninja[1]}/{ninja[2]}"
    if CONFIGURING.match(line):
        return "configuring"
    if step := PIP_STEPS.match(line):
        return step[1][0].lower() + step[1][1:]
    return None


class Progress:
    """One line on a terminal, a line every 15 seconds elsewhere."""

    def __init__(self, title: str, out: IO[str] | None = None) -> None:
        self.title = title
        self.out = out if out is not None else sys.stdout
        self.terminal = self.out.isatty()
        self.started = self.spoken = time.monotonic()
        self.step = self.shown = ""
        if not self.terminal:
            self._write(f"{title} ...\n")

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return f"{minutes}:{seconds:02d}"

    def show(self, step: str | None) -> None:
        """Take note of a step (or of the time alone) and say so where it is due."""
        self.step = step or self.step
        text = f"{self.title} [{self._elapsed()}] {self.step}".rstrip()
        if self.terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            if text != self.shown:
                self.shown = text
                self._write(f"\r\x1b[K{text}")
        elif time.monotonic() - self.spoken >= QUIET_SECONDS:
            self.spoken = time.monotonic()
            self._write(f"  {text}\n")

    def close(self, outcome: str) -> None:
        """Leave one lasting line."""
        start = "\r\x1b[K" if self.terminal else "  "
        self._write(f"{start}{self.title}: {outcome} ({self._elapsed()})\n")


def _lines(stream: IO[str]) -> Iterator[str | None]:
    """The stream's lines, and None for every second in which there was none."""
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        with stream:
            for line in stream:
                lines.put(line)
        lines.put(None)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def run(
    title: str,
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    out: IO[str] | None = None,
) -> int:
    """Run the command; its exit status."""
    progress = Progress(title, out)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as record:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
        )
        assert process.stdout is not None
        try:
            for line in _lines(process.stdout):
                if line is not None:
                    record.write(line)
                    tail.append(line)
                progress.show(describe(line) if line is not None else None)
        except KeyboardInterrupt:
            # Ctrl+C reached the command as well; pip tidies up before it goes.
            process.wait()
            progress.close("interrupted")
            raise
        status = process.wait()
    if status:
        progress.close("failed")
        sys.stderr.write("".join(f"  | {line}" for line in tail))
        sys.stderr.write(f"The whole log: {log}\n")
    else:
        progress.close("done")
    return status
