"""How fast the program starts, and how much memory its screen takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time

import pexpect
import psutil

from benchmarks.table import Row, median, print_table

_RUNS = 7
_PAINTED = b"private chat"
_APP = ["-m", "oa_chat"]
_BARE = ["-m", "benchmarks.bare_app"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ) | {"OA_CHAT_DATA_DIR": folder, "TERM": "xterm-256color"}
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(_RUNS):  # in turn, so that the machine's moods fall on both
            ours.append(_first_paint(_APP, environment))
            bare.append(_first_paint(_BARE, environment))
        versions = [_version() for _ in range(_RUNS)]
        pythons = [_seconds([sys.executable, "-c", "pass"]) for _ in range(_RUNS)]
        resident = _resident(environment)
    rows = [
        Row(
            "first paint",
            f"{median(ours) * 1000:.0f} ms",
            f"{median(bare) * 1000:.0f} ms (bare Textual)",
            f"{median(ours) / median(bare):.2f}x",
            "at most 2x",
        ),
        Row(
            "oa-chat --version",
            f"{median(versions) * 1000:.0f} ms",
            f"{median(pythons) * 1000:.0f} ms (python -c pass)",
            f"{median(versions) / median(pythons):.1f}x",
            "under 150 ms",
        ),
        Row("memory of the screen's process", f"{resident:.0f} MB", goal="at most 120 MB"),
    ]
    print_table(f"Start, medians of {_RUNS} runs", rows)


def _first_paint(arguments: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    process = pexpect.spawn(sys.executable, arguments, dimensions=(45, 140), env=environment)
    process.expect_exact(_PAINTED, timeout=60)
    painted = time.perf_counter() - started
    process.close(force=True)
    return painted


def _version() -> float:
    return _seconds([sys.executable, "-m", "oa_chat", "--version"])


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _resident(environment: dict[str, str]) -> float:
    """Megabytes after a message and its reply."""
    process = pexpect.spawn(sys.executable, _APP, dimensions=(45, 140), env=environment)
    try:
        process.expect_exact(_PAINTED, timeout=60)
        process.send("hello\r")
        process.expect_exact(b"tokens/s", timeout=60)
        with contextlib.suppress(pexpect.TIMEOUT):
            process.expect_exact(b"never", timeout=1)
        return float(psutil.Process(process.pid).memory_info().rss) / 1e6
    finally:
        process.close(force=True)
