"""One request's turn on a child: how long its answers may take, and what is known of its reply.

A request may be cancelled at any moment of its turn, also while the model is loaded again for it.
From then on it has a deadline that nothing extends: not even an engine that goes on talking.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from oa_chat.engine.child import Child
from oa_chat.engine.protocol import Answer, Cancel, Done, Load, Piece, Prompted, Request
from oa_chat.errors import EngineSilent


class NotStopped(EngineSilent):
    """A cancelled request did not end in time, so its engine was ended."""


class Turn:
    """The engine belongs to one request, from the loading of a model it may need to its end."""

    def __init__(self, cancellable: bool) -> None:
        """`cancellable` is False where the model is loaded for its own sake."""
        self._cancellable = cancellable
        self._child: Child | None = None
        self._running = 0
        self._deadline: float | None = None
        self._waiting: asyncio.Timeout | None = None

    @property
    def runs(self) -> bool:
        """Whether the child works on something."""
        return self._running != 0

    def cancel(self, patience: float) -> None:
        """Have the request end within `patience` seconds; the first call sets the deadline."""
        if not self._cancellable or self._deadline is not None:
            return
        self._deadline = asyncio.get_running_loop().time() + patience
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(self._deadline)
        if self._child and self._running:
            self._child.send(Cancel(id=self._running))

    def start(self, child: Child, request: Request) -> None:
        """Send a request, and that it was cancelled if that came earlier."""
        self._child, self._running = child, request.id
        child.send(request)
        if self._deadline is not None and not isinstance(request, Load):
            child.send(Cancel(id=request.id))

    async def answer(self, child: Child, silence: float) -> Answer:
        """The child's next answer. Raises `EngineError`s; past the deadline `NotStopped`."""
        try:
            async with asyncio.timeout_at(self._deadline) as self._waiting:
                return await child.answer(silence)
        except TimeoutError:
            await child.kill()
            raise NotStopped(
                "The engine did not stop when it was asked to, and was ended.",
                "The model is loaded again when it is needed next.",
            ) from None
        finally:
            self._waiting = None

    def end(self) -> None:
        """The child's last answer to the request has come, or will never be awaited."""
        self._running = 0

    def deadline(self, patience: float) -> float:
        """When the request must have ended if it is cancelled now, unless it was before."""
        return self._deadline or asyncio.get_running_loop().time() + patience


@dataclass(slots=True)
class Tally:
    """What the parent has seen of a reply: for one whose last answer never comes."""

    prompt: int = 0
    tokens: int = 0
    _started: float = field(default_factory=time.perf_counter)
    _first: float = 0.0
    _last: float = 0.0

    def take(self, answer: Answer) -> None:
        """Count an answer in."""
        if isinstance(answer, Prompted):
            self.prompt = answer.tokens
        elif isinstance(answer, Piece):
            self._last = time.perf_counter()
            self._first = self._first or self._last
            self.tokens += answer.tokens

    def cancelled(self, number: int) -> Done:
        """The last answer to request `number`, as far as it is known here."""
        first = self._first or time.perf_counter()
        return Done(
            id=number,
            stop="cancelled",
            tokens=self.tokens,
            prefill_ms=(first - self._started) * 1000,
            decode_ms=(max(self._last, first) - first) * 1000,
            used=self.prompt + self.tokens,
        )
