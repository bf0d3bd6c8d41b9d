"""The guard: a model behind its family, and an author for its rules. Fails closed.

`LocalGuard` turns messages into verdicts and never raises for what a guard can do wrong: a dead,
silent or babbling guard gives an unreadable verdict, which no policy lets pass. It does not decide
what happens to a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from oa_chat import language
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import ModelInfo, OnProgress, Output, Passage
from oa_chat.errors import GuardError, ModelError, OaChatError
from oa_chat.guards.authors import RuleAuthor
from oa_chat.guards.family import GuardFamily, Reading
from oa_chat.guards.languages import with_language
from oa_chat.guards.windows import fitted, overlapping, shortened, worst
from oa_chat.verdict import LABELS, Severity, Subject, Verdict, unreadable

_CHARACTERS_PER_TOKEN = 3
"""A low guess for English; an engine says if it had to cut."""
_SMALLEST_WINDOW = 50
_LONGEST_MESSAGE = 2_000_000
_SECONDS_PER_MEGABYTE = 120.0


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

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model, or None before it is loaded."""
        return self._engine.info

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model, and get the author ready meanwhile. Raises OaChatError."""
        info, *_ = await asyncio.gather(
            self._engine.load(on_progress), self.author.load(), asyncio.to_thread(language.load)
        )
        return info

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        """The verdict on the last message in the light of the earlier ones."""
        verdicts = await self.check_many([messages])
        return replace(verdicts[0], subject=subject)

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        """One verdict a conversation; `latency_ms` is each one's share of the time.

        What one of them makes go wrong does not spoil the others: they are then judged alone.
        """
        verdicts = await self._judge_many(conversations)
        return [
            with_language(verdict, messages[-1].text, self.languages)
            for messages, verdict in zip(conversations, verdicts, strict=True)
        ]

    async def _judge_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        started = time.perf_counter()
        try:
            readings = await self._read_all(conversations)
        except ModelError as error:
            return [unreadable(self.name, error.message) for _ in conversations]
        except OaChatError as error:
            if len(conversations) > 1:
                return [(await self._judge_many([one]))[0] for one in conversations]
            share = _milliseconds(started) / max(1, len(conversations))
            return [unreadable(self.name, error.message, latency_ms=share) for _ in conversations]
        share = _milliseconds(started) / max(1, len(conversations))
        return [
            await self._verdict(messages[-1].text, reading, share)
            for messages, reading in zip(conversations, readings, strict=True)
        ]

    async def close(self) -> None:
        """End the model's process and the author's."""
        await self._engine.close()
        await self.author.close()

    async def _read_all(self, conversations: Sequence[Sequence[Message]]) -> list[Reading]:
        size = sum(len(messages[-1].text) for messages in conversations)
        longest = max((len(messages[-1].text) for messages in conversations), default=0)
        if longest > _LONGEST_MESSAGE:
            raise GuardError(
                f"The message has {longest:,} characters; the guard can judge"
                f" {_LONGEST_MESSAGE:,} at most."
            )
        info = await self._engine.load()
        limit = self._limits.check + size / 1_000_000 * _SECONDS_PER_MEGABYTE
        wanted = [shortened(messages) for messages in conversations]
        try:
            async with asyncio.timeout(limit):
                if self.family.kind == "classifier":
                    return await self._classify(wanted)
                fits = info.context * _CHARACTERS_PER_TOKEN
                return [await self._write(messages, fits) for messages in wanted]
        except TimeoutError:
            raise GuardError(f"The guard took longer than {limit:.0f} seconds.") from None

    async def _classify(self, wanted: Sequence[Sequence[Message]]) -> list[Reading]:
        """The readings of a classifier, which cuts context and windows by itself."""
        prompts = [self.family.prompt(messages) for messages in wanted]
        passages = [prompt for prompt in prompts if isinstance(prompt, Passage)]
        answers = await self._engine.classify(passages)
        if len(answers) != len(wanted):
            raise GuardError("The guard did not answer for every message.")
        return [self.family.read(answer) for answer in answers]

    async def _write(self, messages: Sequence[Message], fits: int) -> Reading:
        """The reading of a guard that writes: with context, else without, else in windows."""
        newest = messages[-1]
        for attempt in (fitted(messages, fits), [newest]):
            (output,) = await self._outputs([attempt])
            if not output.truncated:
                return self.family.read(output)
        size = fits
        while size > _SMALLEST_WINDOW:
            parts = overlapping(newest.text, size)
            outputs = await self._outputs([[replace(newest, text=part)] for part in parts])
            if not any(output.truncated for output in outputs):
                reading = worst([self.family.read(output) for output in outputs])
                return replace(reading, windows=len(parts))
            size //= 2
        return Reading(None, failure="the message is too long for this guard")

    async def _outputs(self, wanted: Sequence[Sequence[Message]]) -> list[Output]:
        prompts = [self.family.prompt(messages) for messages in wanted]
        written = [prompt for prompt in prompts if isinstance(prompt, list)]
        outputs = await self._engine.write(written, LABELS, brief=[Severity.CASUAL.label])
        if len(outputs) != len(wanted):
            raise GuardError("The guard did not answer for every message.")
        return outputs

    async def _verdict(self, text: str, reading: Reading, latency_ms: float) -> Verdict:
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
            return replace(verdict, categories=self.author.categories(decisive, reading.severity))
        spoken = language.detect(text)
        authored = await self.author.rule(decisive, reading.severity, spoken)
        return replace(
            verdict,
            rule=authored.text,
            rule_source=authored.source,
            categories=authored.categories,
            latency_ms=latency_ms + _milliseconds(started),
        )


def _milliseconds(started: float) -> float:
    return (time.perf_counter() - started) * 1000
