"""Ends a reply at the first stop text, wherever the pieces are cut. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Holds back what may be the beginning of a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._waiting = ""
        self.hit = False
        """Whether a stop text has come; what follows it is dropped."""

    def feed(self, text: str) -> str:
        """What can be said now that `text` has come."""
        if self.hit:
            return ""
        self._waiting += text
        places = [at for stop in self._stops if (at := self._waiting.find(stop)) >= 0]
        if places:
            self.hit = True
            ready, self._waiting = self._waiting[: min(places)], ""
            return ready
        held = max((_overlap(self._waiting, stop) for stop in self._stops), default=0)
        ready = self._waiting[: len(self._waiting) - held]
        self._waiting = self._waiting[len(ready) :]
        return ready

    def rest(self) -> str:
        """What was held back and turned out to be no stop text."""
        ready, self._waiting = self._waiting, ""
        return ready


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop`."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
