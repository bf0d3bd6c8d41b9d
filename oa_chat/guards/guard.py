"""The guard: a model behind its family, and an author for its rules. Fails closed.

`LocalGuard` turns messages into verdicts and never raises for what a guard can do wrong: a dead,
silent or babbling guard gives an unreadable verdict, which no policy lets pass. It does not decide
what happens to a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from oa_chat import language
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import ModelInfo, ModelKind, OnProgress
from oa_chat.errors import GuardError, ModelError, OaChatError
from oa_chat.guards.asking import read_all
from oa_chat.guards.authors import RuleAuthor
from oa_chat.guards.family import GuardFamily, Reading
from oa_chat.guards.languages import Spoken, spoken_in
from oa_chat.guards.taxonomy import OTHER
from oa_chat.guards.windows import shortened
from oa_chat.verdict import Severity, Subject, Verdict, unreadable

_LONGEST_MESSAGE = 2_000_000
_SECONDS_PER_MEGABYTE: dict[ModelKind, float] = {
    "classifier": 120.0,
    "seq2seq": 120.0,
    "causal": 6000.0,
}
"""On top of the limit for any check. A text-generating guard of 1B reads some 100 tokens a second
on two cores, each of them twice where windows overlap."""
_READ_AT_ONCE = 1_000
"""Characters. Finding the language of more takes milliseconds, in which no screen should stand."""
_SECONDS_FOR_A_POLICY = 60.0
"""The first question about a message, or a reply, has some 700 tokens in front: 50 s with 8B."""


class Guard(Protocol):
    """Judges messages. `check` does not raise for a failing guard."""

    @property
    def name(self) -> str:
        """The guard's name for people."""
        ...

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model, or None before it is loaded."""
        ...

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model. Raises OaChatError."""
        ...

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        """The verdict on the last message in the light of the earlier ones."""
        ...

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        """One verdict a conversation, judged together."""
        ...

    async def close(self) -> None:
        """End what the guard holds."""
        ...


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How long a check may take before it counts as failed, in seconds."""

    check: float = 30.0


class LocalGuard:
    """A guard model in a child process."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        family: GuardFamily,
        author: RuleAuthor,
        limits: GuardLimits = GuardLimits(),
        languages: Sequence[str] = (),
    ) -> None:
        """`languages` are ISO 639-1 codes of what the model knows; none is unknown, or any."""
        self.name = name
        self.family = family
        self.languages = tuple(languages)
        self.author = author
        self._engine = engine
        self._limits = limits
        self._asked: set[str] = set()
        """Whose texts the engine was asked about: it has read the policy for them."""

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model, or None before it is loaded."""
        return self._engine.info

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model, and get the author ready meanwhile. Raises OaChatError."""
        info = await self._ready(on_progress)
        if self.family.kind == "causal":
            await self._warm_up(info)
        return info

    async def _ready(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """The loaded model; loading is no part of what a check takes. Raises OaChatError."""
        if self._engine.info is not None:
            return self._engine.info
        self._asked.clear()
        await asyncio.gather(
            self._engine.load(on_progress),
            self.author.load(),
            asyncio.to_thread(language.identifier),
        )
        return await self._engine.load()

    async def _warm_up(self, info: ModelInfo) -> None:
        """Ask once, so that the policy in front of each question is read before somebody waits.

        It stays in the model's cache. What goes wrong here goes wrong again in a check.
        """
        with suppress(OaChatError):
            await read_all(self._engine, self.family, [[Message("user", "Hello!")]], info.context)
            self._asked = {"user"}

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        """The verdict on the last message in the light of the earlier ones."""
        verdicts = await self.check_many([messages])
        return replace(verdicts[0], subject=subject)

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        """One verdict a conversation; `latency_ms` is each one's share of the time.

        What one of them makes go wrong does not spoil the others: they are then judged alone.
        """
        spoken = await self._spoken([messages[-1].text for messages in conversations])
        verdicts = await self._judge_many(conversations, spoken)
        return [said.on(verdict) for said, verdict in zip(spoken, verdicts, strict=True)]

    async def explain(self, messages: Sequence[Message]) -> tuple[Verdict, Reading | None]:
        """The verdict, and the reading that it comes from; None if the guard failed."""
        text = messages[-1].text
        (spoken,) = await self._spoken([text])
        started, reading = time.perf_counter(), None
        try:
            info = await self._ready()
            started = time.perf_counter()
            (reading,) = await self._read_all([messages], info)
            verdict = await self._verdict(text, spoken, reading, _milliseconds(started))
        except OaChatError as error:
            verdict = unreadable(self.name, error.message, latency_ms=_milliseconds(started))
        return spoken.on(verdict), reading

    async def _spoken(self, texts: Sequence[str]) -> list[Spoken]:
        if sum(map(len, texts)) <= _READ_AT_ONCE:
            return spoken_in(texts, self.languages)
        return await asyncio.to_thread(spoken_in, texts, self.languages)

    async def _judge_many(
        self, conversations: Sequence[Sequence[Message]], spoken: Sequence[Spoken]
    ) -> list[Verdict]:
        started = time.perf_counter()
        try:
            info = await self._ready()
            started = time.perf_counter()
            readings = await self._read_all(conversations, info)
        except ModelError as error:
            return [unreadable(self.name, error.message) for _ in conversations]
        except OaChatError as error:
            alone = list(zip(conversations, spoken, strict=True))
            if len(alone) > 1:
                return [(await self._judge_many([one], [said]))[0] for one, said in alone]
            return [
                unreadable(self.name, error.message, latency_ms=_milliseconds(started))
                for _ in alone
            ]
        share = _milliseconds(started) / max(1, len(conversations))
        return [
            await self._verdict(messages[-1].text, said, reading, share)
            for messages, said, reading in zip(conversations, spoken, readings, strict=True)
        ]

    async def close(self) -> None:
        """End the model's process and the author's."""
        await self._engine.close()
        await self.author.close()

    async def _read_all(
        self, conversations: Sequence[Sequence[Message]], info: ModelInfo
    ) -> list[Reading]:
        size = sum(len(messages[-1].text) for messages in conversations)
        longest = max((len(messages[-1].text) for messages in conversations), default=0)
        if longest > _LONGEST_MESSAGE:
            raise GuardError(
                f"The message has {longest:,} characters; the guard can judge"
                f" {_LONGEST_MESSAGE:,} at most."
            )
        limit = self._limits.check + size / 1_000_000 * _SECONDS_PER_MEGABYTE[self.family.kind]
        roles = {messages[-1].role for messages in conversations}
        if self.family.kind == "causal" and not roles <= self._asked:
            limit += _SECONDS_FOR_A_POLICY
        wanted = [shortened(messages) for messages in conversations]
        try:
            async with asyncio.timeout(limit):
                readings = await read_all(self._engine, self.family, wanted, info.context)
            self._asked |= roles
            return readings
        except TimeoutError:
            raise GuardError(f"The guard took longer than {limit:.0f} seconds.") from None

    async def _verdict(
        self, text: str, spoken: Spoken, reading: Reading, latency_ms: float
    ) -> Verdict:
        if reading.severity is None:
            return unreadable(self.name, reading.failure, raw=reading.raw, latency_ms=latency_ms)
        started = time.perf_counter()
        verdict = Verdict(
            severity=reading.severity,
            guard=self.name,
            probabilities=reading.probabilities,
            rule=reading.rule,
            rule_source="model" if reading.rule else "",
            raw=reading.raw,
            windows=reading.windows,
            latency_ms=latency_ms,
        )
        if reading.severity is Severity.CASUAL:
            return verdict
        decisive = text[slice(*reading.worst)] if reading.worst else text
        if reading.rule:
            found = self.author.categories(decisive, reading.severity)
            return replace(verdict, categories=_about(reading, found))
        authored = await self.author.rule(decisive, reading.severity, spoken.code)
        return replace(
            verdict,
            rule=authored.text,
            rule_source=authored.source,
            categories=_about(reading, authored.categories),
            latency_ms=latency_ms + _milliseconds(started),
        )


def _about(reading: Reading, found: tuple[str, ...]) -> tuple[str, ...]:
    """What the guard says it is about, if that says anything; else what the rulebook found."""
    named = tuple(name for name in reading.categories if name != OTHER)
    return named or found or reading.categories


def _milliseconds(started: float) -> float:
    return (time.perf_counter() - started) * 1000
