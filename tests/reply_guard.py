"""A guard for tests of replies: it judges by words, and fails where a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from oa_chat.conversation import Message
from oa_chat.engine.protocol import ModelInfo, OnProgress
from oa_chat.verdict import Severity, Subject, Verdict, unreadable
from tests.scripted import info

RULE = "It is wrong to be cruel."


def by_words(text: str) -> Verdict:
    """Cruel words need caution for sure, odd ones perhaps; a text with "dead" kills the guard."""
    if "dead" in text:
        return unreadable("words", "The guard's process ended.")
    if "cruel" in text:
        shares = (0.01, 0.01, 0.01, 0.96, 0.01)
        return Verdict(Severity.CAUTION, "words", shares, RULE, "rulebook")
    if "odd" in text:
        return Verdict(Severity.CAUTION, "words", (0.3, 0.05, 0.05, 0.5, 0.1), RULE, "rulebook")
    return Verdict(Severity.CASUAL, "words", (0.96, 0.01, 0.01, 0.01, 0.01))


@dataclass
class WordGuard:
    """Passes every message; judges replies with a function of the text."""

    judge: Callable[[str], Verdict] = by_words
    name: str = "words"
    read: list[list[Message]] = field(default_factory=list)
    """The reply checks, each with its context."""
    passed: list[str] = field(default_factory=list)
    """The texts of replies that came out casual."""
    gate: asyncio.Event | None = None
    """If set, every check of a reply waits for it."""
    seconds: float = 0.0
    """How long a check of a reply takes."""
    running: int = 0
    most_running: int = 0

    @property
    def info(self) -> ModelInfo:
        return info(self.name)

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        return self.info

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        if subject == "message":
            return Verdict(Severity.CASUAL, self.name)
        self.read.append(list(messages))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.gate:
                await self.gate.wait()
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        text = messages[-1].text
        given = self.judge(text)
        if given.severity is Severity.CASUAL:
            self.passed.append(text)
        return Verdict(**{**_fields(given), "subject": "reply"})

    async def check_many(self, conversations: Sequence[Sequence[Message]]) -> list[Verdict]:
        return [await self.check(messages) for messages in conversations]

    async def close(self) -> None:
        pass


def _fields(verdict: Verdict) -> dict[str, object]:
    return {name: getattr(verdict, name) for name in Verdict.__slots__}
