"""Runs `oa-chat scrape` as a user does: here, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from converters.rows import read_rows
from oa_chat.cli import run

PROGRAM = [sys.executable, "-m", "oa_chat", "scrape"]
ROOT = Path(__file__).resolve().parents[3]


def scrape(*arguments: object) -> int:
    """The exit code of a run inside of this process."""
    from praw.config import Config

    Config.CONFIG = None
    return run(["scrape", *map(str, arguments)])


def process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run as a process of its own."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def killed_when(condition: Callable[[], bool], *arguments: object) -> bool:
    """Start a run and kill it once the condition holds; whether it ended by itself before."""
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        until = time.monotonic() + 120
        while running.poll() is None and not condition() and time.monotonic() < until:
            time.sleep(0.001)
        ended = running.poll() is not None
        running.kill()
        running.wait()
    return ended


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def ids(path: Path) -> list[str]:
    return [row["id"] for row in rows(path)]
