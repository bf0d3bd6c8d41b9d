"""Who writes the rule of thumb when the guard itself does not: the rulebook, or a small model.

An author is asked for flagged messages alone. The rulebook is always there behind a writing model:
when the model fails, and for everything that needs intervention, its rule is the one that counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Protocol

from oa_chat.engine import cuts
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Piece, Sampling
from oa_chat.errors import EngineError, ModelError
from oa_chat.guards.candidates import best
from oa_chat.guards.rule_prompt import LEVEL_FORMAT, RULE_END, writer_prompt
from oa_chat.rulebook import Candidates, Rulebook, RuleMatch
from oa_chat.segment import Segment
from oa_chat.verdict import RuleSource, Severity

_MOST_SENTENCES = 40
"""A match takes 0.2 ms, and the guard hands over the piece that decided, not a whole book."""
_RULE_TOKENS = 40
_WRITER_SECONDS = 10.0
"""A rule takes milliseconds; nobody should wait for one that takes longer."""
_RULE_LENGTH = 200
_CANDIDATES = 6
_WARMTH = 0.7
"""The temperature of all candidates but the first. What several candidates bring is measured on the
writer's card: for the shipped one no more than chance."""


@dataclass(frozen=True, slots=True)
class Authored:
    """A rule of thumb and where it is from."""

    text: str
    source: RuleSource
    categories: tuple[str, ...] = ()


class RuleAuthor(Protocol):
    """Writes or finds a rule for a flagged message."""

    name: str

    async def load(self) -> None:
        """Get ready ahead of time; `rule` does it otherwise."""
        ...

    async def rule(self, text: str, severity: Severity, language: str = "") -> Authored:
        """The rule for a message of this severity, in its language if there is one."""
        ...

    def categories(self, text: str, severity: Severity) -> tuple[str, ...]:
        """What the message is about, for a guard that writes its own rule."""
        ...

    async def close(self) -> None:
        """Free what the author holds."""
        ...


class RulebookAuthor:
    """Finds the best rule in the rulebook."""

    name = "rulebook"

    def __init__(self, open_rulebook: Callable[[], Rulebook]) -> None:
        """`open_rulebook` is called on first use: reading the rules takes 25 ms."""
        self._open = cache(open_rulebook)

    async def load(self) -> None:
        """Read the rules and build their index, in a thread."""
        await asyncio.to_thread(self._match, "", Severity.POSSIBLY)

    async def rule(self, text: str, severity: Severity, language: str = "") -> Authored:
        """The best match, or the general rule of the level."""
        match = self._match(text, severity, language)
        return Authored(match.text, match.source, _about(match))

    def categories(self, text: str, severity: Severity) -> tuple[str, ...]:
        """The category of the best match."""
        return _about(self._match(text, severity))

    def candidates(self, text: str, severity: Severity, language: str = "") -> Candidates:
        """What was compared, in the whole text or the sentence that `rule` took its rule from."""
        level, book = int(severity), self._open()
        if book.match(text, level, language).general:
            matches = [(part, book.match(part, level, language)) for part in _sentences(text)]
            found = [(match.score, part) for part, match in matches if not match.general]
            text = max(found, default=(0.0, text))[1]
        return book.candidates(text, level, language)

    def _match(self, text: str, severity: Severity, language: str = "") -> RuleMatch:
        """The match of the whole text; if there is none, the best one of a sentence of it."""
        book = self._open()
        whole = book.match(text, int(severity), language)
        if not whole.general:
            return whole
        parts = (book.match(part, int(severity), language) for part in _sentences(text))
        found = (match for match in parts if not match.general)
        return max(found, key=lambda match: match.score, default=whole)

    async def close(self) -> None:
        """Nothing to free."""


def _about(match: RuleMatch) -> tuple[str, ...]:
    return () if match.general else (match.category,)


def _sentences(text: str) -> Iterator[str]:
    return islice(cuts.sentences(text), _MOST_SENTENCES)


class WriterAuthor:
    """Lets a small causal model write the rule, with the rulebook behind it.

    The prompt is `rule_prompt.writer_prompt`, with the level if the model's file says so. Several
    rules are drawn, with fixed seeds, and the best is taken (`candidates`).
    """

    name = "rule writer"

    def __init__(self, engine: Engine, fallback: RuleAuthor) -> None:
        self._engine = engine
        self._fallback = fallback

    async def load(self) -> None:
        """Load the writer. It failing is no error: the fallback is there."""
        await self._fallback.load()
        with contextlib.suppress(EngineError, ModelError):
            await self._engine.load()

    async def rule(self, text: str, severity: Severity, language: str = "") -> Authored:
        """The model's rule; the fallback's if it fails or the matter is too serious.

        The model writes English alone, so messages in other languages get the fallback's rule.
        """
        found = await self._fallback.rule(text, severity, language)
        if severity is Severity.INTERVENTION or language not in ("", "en"):
            return found
        try:
            async with asyncio.timeout(_WRITER_SECONDS):
                written = await self._write(text, severity)
        except (EngineError, ModelError, TimeoutError):
            return found
        return Authored(written, "writer", found.categories) if written else found

    def categories(self, text: str, severity: Severity) -> tuple[str, ...]:
        """As the fallback says: the writer gives none."""
        return self._fallback.categories(text, severity)

    async def _write(self, text: str, severity: Severity) -> str:
        info = await self._engine.load()
        told = severity if info.prompt_format == LEVEL_FORMAT else None
        prompt = writer_prompt(text, told)
        return best([await self._draw(prompt, seed) for seed in range(_CANDIDATES)], text)

    async def _draw(self, prompt: list[Segment], seed: int) -> str:
        """One rule; number 0 is the likeliest one. The prompt is evaluated once for all."""
        sampling = Sampling(
            temperature=_WARMTH if seed else 0.0,
            top_k=40,
            top_p=0.95,
            repeat_penalty=1.0,
            max_tokens=_RULE_TOKENS,
            seed=seed,
        )
        answers = self._engine.complete(prompt, sampling, [RULE_END])
        pieces = [answer.text async for answer in answers if isinstance(answer, Piece)]
        return " ".join("".join(pieces).split())[:_RULE_LENGTH]

    async def close(self) -> None:
        """End the writer's process."""
        await self._engine.close()
