"""Asks a server as often as it allows, and again where that may help.

`Pace` keeps to the headers ``x-ratelimit-remaining`` and ``x-ratelimit-reset`` (Reddit's; Arctic
Shift sends the same), waits out a 429 (``Retry-After``: RFC 9110, seconds or a date) and tries
again after a 5xx, a timeout or a dropped connection, waiting about twice as long each time. This
module knows neither Reddit nor what an answer means.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from converters.errors import SourceError

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses that say that the same request may work later."""
RERUN = "What was collected is kept: run the same command again, and it goes on."

_TOLD = 1.5
"""Seconds. Shorter waits are not worth a line."""
_LONGEST = 900.0
"""Seconds. Reddit's window is 600; a server that asks for more had better be asked tomorrow."""
_SPREAD = 10.0
"""Seconds between two requests at most while some are left, as PRAW does it."""
_FIRST, _LAST = 1.0, 120.0
"""Seconds of the first wait after a failure, and the longest one."""


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def wall(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as far as pacing goes."""

    status: int
    headers: Mapping[str, str]
    """With names in lower case."""
    response: Any
    """The answer itself, for whoever asked."""


Told = Callable[[str, float], None]
"""Called with why and until when (seconds since 1970) before a wait."""


class Unanswered(Exception):
    """A request without a whole answer; its text is fit to be shown."""


@dataclass(slots=True)
class Pace:
    """The pace at which one server is asked; see the module for how."""

    told: Told
    clock: Clock
    least: float = 0.0
    """Seconds between two requests, whatever the headers allow."""
    tries: int = 7
    """How often one request is sent at most."""
    chance: random.Random = random.Random()  # noqa: RUF009, S311 - it only spreads waits
    _next: float = -math.inf
    _why: str = ""

    def ask(self, server: str, send: Callable[[], Answer], fault: Callable[[Any], str]) -> Any:
        """The response to a request, after as many tries as it takes.

        `send` raises Unanswered where there is no whole answer; `fault` says what is wrong with a
        response, if asking again may help, else nothing. Raises SourceError when the tries are
        used up.
        """
        for attempt in range(1, self.tries + 1):
            self._await_turn()
            trouble, wait = "", self._backoff(attempt)
            try:
                answer = send()
            except Unanswered as failure:
                self._next = self.clock.monotonic() + self.least
                trouble = f"{server} {failure}"
            else:
                self._learn(answer.headers)
                if answer.status in AGAIN:
                    trouble = f"{server} answered {answer.status}"
                    wait = self._asked_wait(answer.headers, wait, answer.status)
                elif found := fault(answer.response):
                    trouble = f"{server} {found}"
                else:
                    return answer.response
            if wait > _LONGEST:
                raise SourceError(
                    f"{trouble}, and asks to wait for {wait / 60:.0f} minutes.", RERUN
                )
            if attempt < self.tries:
                self._wait(wait, f"{trouble} (try {attempt} of {self.tries})")
        raise SourceError(f"{trouble}; it was tried {_times(self.tries)}.", RERUN)

    def _await_turn(self) -> None:
        if (rest := self._next - self.clock.monotonic()) > 0:
            self._wait(rest, self._why or "one request after the other")

    def _wait(self, seconds: float, why: str) -> None:
        if seconds >= _TOLD:
            self.told(why, self.clock.wall() + seconds)
        self.clock.sleep(seconds)

    def _backoff(self, attempt: int) -> float:
        return min(_LAST, _FIRST * 2.0 ** (attempt - 1)) * self.chance.uniform(0.5, 1.0)

    def _asked_wait(self, headers: Mapping[str, str], backoff: float, status: int) -> float:
        """Seconds to wait after a refusal: what the server says, else the backoff."""
        said = self._retry_after(headers)
        if said is None and status == 429:
            said = self._seconds(headers.get("x-ratelimit-reset"))
        # A little later than asked: everybody else comes back on the second.
        return backoff if said is None else said + 0.1 * backoff

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        said = headers.get("retry-after")
        if said is None:
            return None
        with contextlib.suppress(ValueError):
            seconds = float(said)
            return max(0.0, seconds) if math.isfinite(seconds) else None
        with contextlib.suppress(ValueError, OverflowError):
            return max(0.0, parsedate_to_datetime(said).timestamp() - self.clock.wall())
        return None

    def _seconds(self, said: str | None) -> float | None:
        """Seconds until a moment that is given as such, or as seconds since 1970."""
        try:
            seconds = float(said or "")
        except ValueError:
            return None
        if not math.isfinite(seconds) or seconds < 0:
            return None
        return seconds if seconds < 10**8 else max(0.0, seconds - self.clock.wall())

    def _learn(self, headers: Mapping[str, str]) -> None:
        """When the next request may be sent: what is left of the window, spread evenly."""
        pause, self._why = self.least, ""
        left = self._seconds(headers.get("x-ratelimit-remaining"))
        reset = self._seconds(headers.get("x-ratelimit-reset"))
        if left is not None and reset is not None:
            self._why = "the server's rate limit"
            pause = max(pause, reset if left < 1 else min(_SPREAD, reset / left))
        self._next = self.clock.monotonic() + min(pause, _LONGEST)


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"
