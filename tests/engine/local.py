"""A causal runner inside the test's own process, with its answers collected; a few requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from oa_chat.conversation import Message
from oa_chat.engine import causal
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import (
    Answer,
    Complete,
    Done,
    Load,
    ModelInfo,
    Piece,
    Prefill,
    Prefilled,
    Prompted,
    Reply,
    Request,
    Sampling,
    Segment,
)

_T = TypeVar("_T")
GREEDY = Sampling(temperature=0, max_tokens=16)
LONG = Sampling(temperature=8.0, top_k=0, top_p=1.0, min_p=0.0, seed=1, max_tokens=2000)
"""So hot that a reply practically never ends by itself."""
SYSTEM = Message("system", "You are a friendly assistant.")
HELLO = [SYSTEM, Message("user", "Hello, how are you today?")]


async def text_of(engine: Engine, sampling: Sampling = GREEDY) -> str:
    """The reply to `HELLO`."""
    async with aclosing(engine.reply(HELLO, sampling)) as answers:
        return "".join([answer.text async for answer in answers if isinstance(answer, Piece)])


class Local:
    """Runs requests and keeps the answers of the last one."""

    def __init__(self, path: Path, context: int = 0) -> None:
        self.answers: list[Answer] = []
        request = Load(id=1, path=str(path), kind="causal", context=context)
        runner = causal.load(request, self.answers.append)
        assert isinstance(runner, causal.CausalRunner)
        self.runner = runner
        self.cache = runner._cache
        self.piece = runner._model.piece

    @property
    def info(self) -> ModelInfo:
        return self.runner.info

    def run(self, request: Request, cancelled: Callable[[], bool] = lambda: False) -> None:
        self.answers.clear()
        self.runner.run(request, self.answers.append, cancelled)

    def prefill(
        self, messages: Sequence[Message], skipped: int = 0, max_tokens: int | None = None
    ) -> Prefilled:
        request = Prefill(id=2, messages=list(messages), skipped=skipped, max_tokens=max_tokens)
        self.run(request)
        return self.last(Prefilled)

    def reply(
        self,
        messages: Sequence[Message],
        sampling: Sampling = GREEDY,
        skipped: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        request = Reply(id=3, messages=list(messages), sampling=sampling, skipped=skipped)
        self.run(request, cancelled)
        return self.text

    def complete(
        self, *segments: Segment, sampling: Sampling = GREEDY, stop: Sequence[str] = ()
    ) -> str:
        self.run(Complete(id=4, segments=list(segments), sampling=sampling, stop=list(stop)))
        return self.text

    @property
    def text(self) -> str:
        return "".join(answer.text for answer in self.answers if isinstance(answer, Piece))

    @property
    def prompted(self) -> Prompted:
        return next(answer for answer in self.answers if isinstance(answer, Prompted))

    @property
    def done(self) -> Done:
        return self.last(Done)

    def last(self, kind: type[_T]) -> _T:
        answer = self.answers[-1]
        assert isinstance(answer, kind)
        return answer


def after(calls: int) -> Callable[[], bool]:
    """A `cancelled` that says yes from its call number `calls` on."""
    count = iter(range(10**9))
    return lambda: next(count) >= calls
