"""The sign that something is being done."""

from __future__ import annotations

import os
from collections.abc import Callable

from textual.timer import Timer
from textual.widgets import Static


def animated() -> bool:
    """Whether things may move: ``TEXTUAL_ANIMATIONS=none`` says no."""
    return os.environ.get("TEXTUAL_ANIMATIONS", "") != "none"


class Working(Static):
    """Says what is being waited for. Its timer runs only while it is on the screen."""

    FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__("", markup=False)
        self._words = words
        self._frame = 0
        self._ticking: Timer | None = None

    def on_mount(self) -> None:
        """Begin to move."""
        self.tick()
        self._ticking = self.set_interval(0.1 if animated() else 1.0, self.tick)

    def tick(self) -> None:
        """Draw the next frame."""
        if animated():
            self._frame = (self._frame + 1) % len(self.FRAMES)
        self.update(f"{self.FRAMES[self._frame]} {self._words()}")
