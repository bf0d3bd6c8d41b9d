"""How many threads a model should use: a pure question about the machine and the file's size.

More is not faster for small models: a 7M-parameter model decoded 2,338 tokens/s with one thread
and 769 with two on two cores, because the threads wait for each other after every small matrix.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SMALL_MODEL_BYTES = 150_000_000
"""Up to this file size one thread is used."""
MOST_THREADS = 8
"""Beyond this, decoding is bound by memory and the user's other programs suffer."""


MOST_WANTED_THREADS = 64
"""More than the cores is allowed, but llama.cpp crashes on absurd numbers."""


def choose_threads(size_bytes: int, wanted: int = 0) -> int:
    """Threads for a model of this size; `wanted` above 0 is the user's own choice."""
    if wanted > 0:
        return min(wanted, max(MOST_WANTED_THREADS, os.cpu_count() or 1))
    if size_bytes <= SMALL_MODEL_BYTES:
        return 1
    return max(1, min(MOST_THREADS, physical_cores()))


def physical_cores() -> int:
    """Cores this process may use, hyper-threads counted once; at least 1."""
    logical = os.cpu_count() or 1
    if sys.platform.startswith("linux"):
        return max(1, min(_linux_cores(), _linux_quota(logical)))
    if sys.platform == "darwin":
        return _apple_fast_cores() or logical
    return max(1, logical // 2)


def _linux_cores() -> int:
    allowed = os.sched_getaffinity(0)
    seen = set()
    for number in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{number}/topology")
        try:
            package = (topology / "physical_package_id").read_text()
            seen.add((package, (topology / "core_id").read_text()))
        except OSError:
            return len(allowed)
    return len(seen)


def _linux_quota(logical: int) -> int:
    """Whole cores that a container may use; `logical` when there is no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return logical if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return logical


def _apple_fast_cores() -> int:
    """Performance cores of an Apple chip; 0 when unknown."""
    command = ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"]
    try:
        return int(subprocess.run(command, capture_output=True, timeout=2, check=True).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0
