"""SIGTERM and Ctrl+C: remembered, so that the loop can save a checkpoint first.

A second signal of the same kind ends the program at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interrupt:
    """Which signal came, if any."""

    number: int = 0


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Catch both signals for the block. Only for the main thread."""
    caught = Interrupt()

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        caught.number = number
        signal.signal(number, before[number])

    before = {int(n): signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, remember)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
