"""Stand-ins at the session's two seams, for what real models do not do on demand.

They say what the test enqueued, in order. Everything between the seams (session, store, policy) is
real. Tests of what engines really do are in `tests/engine` and `tests/test_chat_for_real.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from oa_chat.conversation import Message
from oa_chat.engine.protocol import (
    Done,
    ModelInfo,
    OnProgress,
    Piece,
    Prefilled,
    Progress,
    Prompted,
    Sampling,
)
from oa_chat.errors import OaChatError
from oa_chat.verdict import Severity, Subject, Verdict


def info(name: str, context: int = 512) -> ModelInfo:
    return ModelInfo(
        name=name,
        architecture="scripted",
        kind="causal",
        context=context,
        trained_context=context,
        size_bytes=0,
        parameters=0,
        device="CPU",
        gpu_layers=0,
        threads=1,
        load_ms=12.0,
    )


def verdict(severity: Severity, rule: str = "Be kind.", latency_ms: float = 7.0) -> Verdict:
    """A verdict of this level, 80 % sure."""
    probabilities = [0.05] * 5
    probabilities[severity] = 0.8
    return Verdict(
        severity=severity,
        guard="scripted guard",
        probabilities=tuple(probabilities),
        rule="" if severity is Severity.CASUAL else rule,
        rule_source="" if severity is Severity.CASUAL else "rulebook",
        latency_ms=latency_ms,
    )


@dataclass
class ScriptedGuard:
    """Gives the enqueued verdicts; casual when there are no more."""

    name: str = "scripted guard"
    verdicts: list[Verdict] = field(default_factory=list)
    seen: list[list[Message]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """If set, every check waits for it."""

    @property
    def info(self) -> ModelInfo:
        return info(self.name)

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        if on_progress:
            on_progress(1, 1)
        return self.info

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        self.seen.append(list(messages))
        if self.gate:
            await self.gate.wait()
        given = self.verdicts.pop(0) if self.verdicts else verdict(Severity.CASUAL)
        return replace(given, subject=subject)

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        return [await self.check(messages) for messages in conversations]

    async def close(self) -> None:
        pass


@dataclass
class ScriptedChat:
    """Replies with the enqueued pieces; fails where an error is enqueued among them."""

    replies: list[list[str | OaChatError]] = field(default_factory=list)
    seen: list[list[Message]] = field(default_factory=list)
    prefilled: list[list[Message]] = field(default_factory=list)
    skips: int = 0
    """How many turns the next prefill has to leave out."""
    gate: asyncio.Event | None = None
    """If set, every piece after the first waits for it, or for `cancel`."""
    tokens_per_second: float = 100.0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def info(self) -> ModelInfo:
        return info("scripted chat")

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        if on_progress:
            on_progress(1, 1)
        return self.info

    async def prefill(
        self, messages: Sequence[Message], skipped: int = 0, max_tokens: int | None = None
    ) -> Prefilled:
        self.prefilled.append(list(messages))
        skips, self.skips = self.skips, 0
        return Prefilled(id=1, tokens=20, cached=8, skipped=skips)

    async def reply(
        self, messages: Sequence[Message], sampling: Sampling, skipped: int = 0
    ) -> AsyncGenerator[Prompted | Progress | Piece | Done, None]:
        self.seen.append(list(messages))
        self.cancelled.clear()
        newest = messages[-1].text
        tail = f"<|im_start|>user\n{newest}<|im_end|>\n<|im_start|>assistant\n"
        yield Prompted(id=2, tokens=24, cached=20, skipped=0, context=512, tail=tail)
        sent = 0
        for piece in self.replies.pop(0) if self.replies else ["Hello", " there."]:
            if isinstance(piece, OaChatError):
                raise piece
            if sent and await self._cancelled():
                yield self._done("cancelled", sent)
                return
            yield Piece(id=2, text=piece)
            sent += 1
        yield self._done("complete", sent)

    async def _cancelled(self) -> bool:
        if self.gate is None:
            return self.cancelled.is_set()
        waits = [asyncio.ensure_future(event.wait()) for event in (self.gate, self.cancelled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self.cancelled.is_set()

    def _done(self, stop: str, tokens: int) -> Done:
        decode_ms = max(0, tokens - 1) / self.tokens_per_second * 1000
        return Done(
            id=2, stop=stop, tokens=tokens, prefill_ms=1.0, decode_ms=decode_ms, used=24 + tokens
        )

    def cancel(self) -> None:
        self.cancelled.set()

    async def close(self) -> None:
        pass
