"""The parent's side of an engine: a model in a child process, used like an object.

    engine = Engine(path, "causal")
    async with aclosing(engine.reply(messages, Sampling())) as answers:
        async for answer in answers: ...
    await engine.close()

The process starts at first use and again after it has died. One request runs at a time; others
wait. A stream that is not read to its end must be closed (`contextlib.aclosing`): that cancels the
request. Imports no native code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from oa_chat import errors
from oa_chat.conversation import Message
from oa_chat.engine.child import Child
from oa_chat.engine.protocol import (
    Answer,
    Cancel,
    Classified,
    Classify,
    Complete,
    Done,
    Embed,
    Embedded,
    Judge,
    Load,
    Loaded,
    ModelInfo,
    ModelKind,
    OnProgress,
    Output,
    Passage,
    Piece,
    Prefill,
    Prefilled,
    Progress,
    Prompted,
    Question,
    Refused,
    Reply,
    Request,
    Sampling,
    Segment,
    Window,
    Write,
    Written,
)
from oa_chat.engine.turn import NotStopped, Tally, Turn
from oa_chat.errors import EngineError, OaChatError

Stream = AsyncGenerator[Prompted | Progress | Piece | Done, None]
"""Answers of a request that generates; ends with `Done`."""
Layers = int | Callable[[], Awaitable[int]]
"""How many layers go to the GPU (-1: all), or who is asked for it when the model is loaded."""
_Answer = TypeVar("_Answer")
_LAST = (Loaded, Prefilled, Done, Classified, Embedded, Written)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an engine may be silent before it is ended, in seconds."""

    load: float = 600.0
    reply: float = 120.0
    """For `reply` and `prefill`: a piece of a long prompt on a slow machine."""
    guard: float = 30.0
    """For everything else."""
    cancel: float = 2.0
    """From a cancellation to the request's last answer, loading included."""
    close: float = 0.5


class Engine:
    """A model in a child process. All methods raise `OaChatError`s; see `oa_chat.errors`."""

    def __init__(
        self,
        path: Path,
        kind: ModelKind,
        *,
        context: int = 0,
        gpu_layers: Layers = -1,
        threads: int = 0,
        limits: Limits = Limits(),
    ) -> None:
        self.path = path
        self.kind = kind
        self.info: ModelInfo | None = None
        """What is loaded; None before `load` and after a failure."""
        self._context = context
        self._gpu_layers = gpu_layers
        self._threads = threads
        self._limits = limits
        self._child: Child | None = None
        self._lock = asyncio.Lock()
        self._number = 0
        self._turn: Turn | None = None
        self._closed = 0

    @property
    def pid(self) -> int | None:
        """The process's number; None if none runs."""
        return self._child.pid if self._child and self._child.alive else None

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model unless it is loaded; callers at the same time share one start."""
        async with self._turn_for(None, on_progress):
            assert self.info is not None
            return self.info

    async def prefill(
        self, messages: Sequence[Message], skipped: int = 0, max_tokens: int | None = None
    ) -> Prefilled:
        """Evaluate a transcript that ends with a user's message; see `protocol.Prefill`."""
        request = Prefill(
            id=self._next(), messages=list(messages), skipped=skipped, max_tokens=max_tokens
        )
        return await self._last(request, Prefilled, self._limits.reply)

    def reply(self, messages: Sequence[Message], sampling: Sampling, skipped: int = 0) -> Stream:
        """Generate the assistant's next message; see `protocol.Reply`."""
        request = Reply(
            id=self._next(), messages=list(messages), sampling=sampling, skipped=skipped
        )
        return self._stream(request, self._limits.reply)

    def complete(
        self, segments: Sequence[Segment], sampling: Sampling, stop: Sequence[str] = ()
    ) -> Stream:
        """Continue a raw prompt; see `protocol.Complete`."""
        request = Complete(
            id=self._next(), segments=list(segments), sampling=sampling, stop=list(stop)
        )
        return self._stream(request, self._limits.guard)

    async def classify(self, passages: Sequence[Passage]) -> list[list[Window]]:
        """Judge texts; see `protocol.Classify`."""
        request = Classify(id=self._next(), passages=list(passages))
        return (await self._last(request, Classified, self._limits.guard)).windows

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit vectors of texts; see `protocol.Embed`."""
        request = Embed(id=self._next(), texts=list(texts))
        return (await self._last(request, Embedded, self._limits.guard)).vectors

    async def write(
        self,
        prompts: Sequence[Sequence[Segment]],
        labels: Sequence[str],
        brief: Sequence[str] = (),
        max_tokens: int = 64,
    ) -> list[Output]:
        """Run a sequence-to-sequence model; see `protocol.Write`."""
        request = Write(
            id=self._next(),
            prompts=[list(prompt) for prompt in prompts],
            labels=list(labels),
            brief=list(brief),
            max_tokens=max_tokens,
        )
        return (await self._last(request, Written, self._limits.guard)).outputs

    async def judge(self, questions: Sequence[Question]) -> list[Output]:
        """Ask a text-generating guard; see `protocol.Judge`."""
        request = Judge(id=self._next(), questions=list(questions))
        return (await self._last(request, Written, self._limits.guard)).outputs

    def cancel(self) -> None:
        """Ask the running request to stop soon; it ends with its usual last answer.

        An engine that does not answer within `Limits.cancel` is ended. A stream ends with `Done`
        even then; other requests fail. Loading for its own sake goes on.
        """
        if self._turn:
            self._turn.cancel(self._limits.cancel)

    async def close(self) -> None:
        """End the process; a running request fails. The engine may be used again."""
        self._closed += 1
        if self._child and self._turn and self._turn.runs:
            await self._child.kill()
        async with self._lock:  # a request that ran has failed by now
            child, self._child, self.info = self._child, None, None
            if child:
                await child.close(self._limits.close)

    # ------------------------------------------------------------ requests

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _last(self, request: Request, kind: type[_Answer], silence: float) -> _Answer:
        """The last answer of a request that is not streamed."""
        async with (
            self._turn_for(request) as child,
            aclosing(self._exchange(child, request, silence)) as answers,
        ):
            async for answer in answers:
                if isinstance(answer, kind):
                    return answer
        raise EngineError("The engine gave another answer than expected.")

    async def _stream(self, request: Reply | Complete, silence: float) -> Stream:
        tally = Tally()
        try:
            async with (
                self._turn_for(request) as child,
                aclosing(self._exchange(child, request, silence)) as answers,
            ):
                async for answer in answers:
                    tally.take(answer)
                    if isinstance(answer, Prompted | Progress | Piece | Done):
                        yield answer
        except NotStopped:
            yield tally.cancelled(request.id)

    @asynccontextmanager
    async def _turn_for(
        self, request: Request | None, on_progress: OnProgress | None = None
    ) -> AsyncIterator[Child]:
        """The engine for one request alone, with the model loaded; None is for loading alone."""
        closed = self._closed
        async with self._lock:
            self._turn = Turn(cancellable=request is not None)
            try:
                if self._child is None or not self._child.alive or self.info is None:
                    await self._start(closed, on_progress)
                assert self._child is not None
                yield self._child
            finally:
                self._turn = None

    async def _start(self, closed: int, on_progress: OnProgress | None) -> None:
        """Start a process and load the model, unless `close` was called since `closed`."""
        self.info = None
        if self._child:
            await self._child.kill()
        layers = self._gpu_layers
        child = self._child = await Child.start(self.path.name)
        if self._closed != closed:
            await child.kill()
            raise EngineError("The engine was closed.")
        request = Load(
            id=self._next(),
            path=str(self.path),
            kind=self.kind,
            context=self._context,
            gpu_layers=layers if isinstance(layers, int) else await layers(),
            threads=self._threads,
        )
        try:
            async with aclosing(self._exchange(child, request, self._limits.load)) as answers:
                async for answer in answers:
                    if isinstance(answer, Progress) and on_progress:
                        on_progress(answer.done, answer.total)
                    elif isinstance(answer, Loaded):
                        self.info = answer.info
        finally:
            if self.info is None:
                await child.kill()

    async def _exchange(
        self, child: Child, request: Request, silence: float
    ) -> AsyncGenerator[Answer, None]:
        """Send a request and yield its answers; if left early, see it cancelled."""
        turn, ended = self._turn, False
        assert turn is not None
        turn.start(child, request)
        try:
            while not ended:
                answer = await turn.answer(child, silence)
                if answer.id != request.id:
                    continue  # the end of a request that was cancelled
                ended = isinstance(answer, (*_LAST, Refused))
                if isinstance(answer, Refused):
                    raise _error(answer)
                yield answer
        except EngineError:
            ended = True
            self.info = self.info if child.alive else None
            raise
        finally:
            turn.end()
            if not ended:
                await self._settle(child, request, turn.deadline(self._limits.cancel))

    async def _settle(self, child: Child, request: Request, deadline: float) -> None:
        """Have a request cancelled; a process that does not listen, or still loads, is ended."""
        if isinstance(request, Load):
            await child.kill()
            return
        child.send(Cancel(id=request.id))
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    answer = await child.answer(self._limits.cancel)
                    if answer.id == request.id and isinstance(answer, (*_LAST, Refused)):
                        return
        except (TimeoutError, EngineError):
            await child.kill()
        except BaseException:
            child.kill_now()
            raise


def _error(refused: Refused) -> OaChatError:
    kind = getattr(errors, refused.error, EngineError)
    if not (isinstance(kind, type) and issubclass(kind, OaChatError)):
        kind = EngineError
    return kind(refused.message, refused.hint)
