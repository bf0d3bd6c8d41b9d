"""The loop over tokens: sample, show, evaluate.

Our own loop on the low-level API: it can be stopped between any two tokens and counts exactly.
Measured with the 7M starter on one core: 98-99 % of the speed of a loop that shows nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from oa_chat.engine.native import Context, Model
from oa_chat.engine.prefix_cache import PrefixCache
from oa_chat.engine.protocol import Done
from oa_chat.engine.runner import Cancelled
from oa_chat.engine.sampler import Choice, Sampler
from oa_chat.engine.text_stream import TextStream

Stop = Literal["complete", "length", "cancelled"]


@dataclass(slots=True)
class Generation:
    """What came of a request to generate. Times are `time.perf_counter` readings."""

    started: float
    first: float = 0.0
    """When the first token was chosen; 0.0 if there was none."""
    last: float = 0.0
    """The same of the last token that belongs to the reply."""
    stop: Stop = "cancelled"
    made: list[int] = field(default_factory=list)
    """The tokens, without the one that ended it."""
    text: str = ""

    def done(self, number: int, used: int, seed: int) -> Done:
        """The last answer to request `number`."""
        first = self.first or time.perf_counter()
        return Done(
            id=number,
            stop=self.stop,
            tokens=len(self.made),
            prefill_ms=(first - self.started) * 1000,
            decode_ms=(max(self.last, first) - first) * 1000,
            used=used,
            seed=seed,
        )


class Generator:
    """Generates behind what a cache holds."""

    def __init__(self, model: Model, context: Context, cache: PrefixCache) -> None:
        self._model = model
        self._context = context
        self._cache = cache
        self._pieces: dict[int, bytes | None] = {}

    def run(
        self,
        generation: Generation,
        choice: Choice,
        room: int,
        stream: TextStream,
        cancelled: Cancelled,
    ) -> None:
        """Generate up to `room` tokens into `generation` and `stream`; sets why it stopped."""
        sampler = Sampler(self._model, choice, self._cache.ids)
        try:
            generation.stop = self._loop(
                generation, sampler, min(choice.max_tokens, room), stream, cancelled
            )
        finally:
            sampler.close()

    def _loop(
        self,
        generation: Generation,
        sampler: Sampler,
        limit: int,
        stream: TextStream,
        cancelled: Cancelled,
    ) -> Stop:
        made = generation.made
        while True:
            token = sampler.sample(self._context)
            now = time.perf_counter()
            generation.first = generation.first or now
            piece = self._piece(token)
            if piece is None:
                return "complete"
            made.append(token)
            generation.last = now
            if stream.feed(piece):
                return "complete"
            if len(made) >= limit:
                return "length"
            if cancelled():
                return "cancelled"
            self._cache.append(token)

    def _piece(self, token: int) -> bytes | None:
        """The token's bytes, none for control tokens; None for a token that ends the reply."""
        try:
            return self._pieces[token]
        except KeyError:
            ends = self._model.is_eog(token)
            piece = self._pieces[token] = None if ends else self._model.piece(token)
            return piece
