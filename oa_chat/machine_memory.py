"""How much main memory this machine has and how much of it is free, without a third-party package.

Sources: ``/proc/meminfo`` and the control group's limit on Linux, sysctl on macOS,
GlobalMemoryStatusEx on Windows. GPU memory is `oa_chat.engine.survey`'s matter.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory; 0 is unknown."""

    total: int
    available: int
    """What programs could take now without pushing others out."""


def machine_memory() -> Memory:
    """Look once. Never fails: what cannot be found out is 0."""
    if sys.platform == "win32":
        return _windows()
    if sys.platform == "darwin":
        return _mac()
    return _linux(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))


def _linux(meminfo: Path, group: Path) -> Memory:
    """What /proc says, or less where the control group (a container's, mostly) allows less."""
    said: dict[str, int] = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for match in re.finditer(r"^(\w+):\s+(\d+) kB$", meminfo.read_text("ascii"), re.MULTILINE):
            said[match[1]] = int(match[2]) * 1024
    total, available = said.get("MemTotal", 0), said.get("MemAvailable", 0)
    limit = _number(group / "memory.max")
    if limit and limit < total:
        # Files that are cached count as used there, but make room.
        used = _number(group / "memory.current") - _cached(group / "memory.stat")
        total, available = limit, min(available, max(0, limit - used))
    return Memory(total, available)


def _number(file: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text("ascii"))
    return 0


def _cached(file: Path) -> int:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        match = re.search(r"^inactive_file (\d+)$", file.read_text("ascii"), re.MULTILINE)
        return int(match[1]) if match else 0
    return 0


def _mac() -> Memory:
    def ask(*command: str) -> str:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            return done.stdout
        return ""

    total = int(ask("/usr/sbin/sysctl", "-n", "hw.memsize").strip() or 0)
    pages = ask("/usr/bin/vm_stat")
    size = re.search(r"page size of (\d+)", pages)
    free = re.findall(
        r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", pages, re.MULTILINE
    )
    return Memory(total, sum(map(int, free)) * int(size[1]) if size else 0)


def _windows() -> Memory:
    if sys.platform != "win32":
        return Memory(0, 0)
    import ctypes  # noqa: PLC0415 - only here

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("total", "available", "a", "b", "c", "d", "e")
            ),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return Memory(0, 0)
    return Memory(status.total, status.available)
