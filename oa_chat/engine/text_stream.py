"""From tokens' bytes to pieces of text that are fit to send: pure, no model in here.

Whole characters only, no part of a stop string, and not more than one message every 15 ms: at
2,000 tokens a second, a message for each token would cost more than a token.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Sequence

EVERY_S = 0.015


class TextStream:
    """Collects a reply's bytes and sends its text. `text` is everything up to now."""

    def __init__(
        self, send: Callable[[str, int], None], stop: Sequence[str] = (), trim_start: bool = False
    ) -> None:
        """`send` gets text and how many tokens it took; `trim_start` drops a leading blank."""
        self._send = send
        self._stop = [text for text in stop if text]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._trim = trim_start
        self._waiting = ""
        self._tokens = 0
        self._next = 0.0
        self._sent: list[str] = []

    @property
    def text(self) -> str:
        """All text that was sent."""
        return "".join(self._sent)

    def feed(self, data: bytes) -> bool:
        """Add one token's bytes; True if a stop string has come (it is not sent)."""
        self._tokens += 1
        self._waiting += self._decoder.decode(data)
        if self._trim:
            self._waiting = self._waiting.lstrip()
            self._trim = not self._waiting
        if self._stop and self._at_stop():
            return True
        if self._waiting and time.perf_counter() >= self._next:
            self._flush(self._held_back())
        return False

    def end(self) -> None:
        """Send what is left; half a character becomes a replacement mark."""
        self._waiting += self._decoder.decode(b"", final=True)
        self._flush(0)

    def _at_stop(self) -> bool:
        places = [self._waiting.find(text) for text in self._stop]
        found = [place for place in places if place >= 0]
        if found:
            self._waiting = self._waiting[: min(found)]
            self._decoder.reset()
        return bool(found)

    def _held_back(self) -> int:
        """How many characters at the end may be the start of a stop string."""
        longest = 0
        for text in self._stop:
            for length in range(min(len(text) - 1, len(self._waiting)), longest, -1):
                if self._waiting.endswith(text[:length]):
                    longest = length
                    break
        return longest

    def _flush(self, held_back: int) -> None:
        ready = self._waiting[: len(self._waiting) - held_back]
        if not ready:
            return
        self._waiting = self._waiting[len(ready) :]
        self._sent.append(ready)
        self._send(ready, self._tokens)
        self._tokens = 0
        self._next = time.perf_counter() + EVERY_S
