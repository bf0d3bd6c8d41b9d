"""Judges: a guard as something that takes conversations and gives predictions, in batches.

`GuardJudge` is the app's own path: the same `LocalGuard`, family and engine process that the chat
uses, so that windows, the cutting of context, temperature and thresholds are the app's. For a
checkpoint the engine is one of `torch_engines`. Rules of thumb are `rules`' matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from converters.evaluate.outcomes import Prediction
from converters.provenance import sha256_of
from oa_chat import catalog
from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader, read_header
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import ModelInfo
from oa_chat.errors import EngineError, OaChatError
from oa_chat.guards.authors import Authored
from oa_chat.guards.family import GuardFamily
from oa_chat.guards.guard import GuardLimits, LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.verdict import Severity, Verdict

Conversation = Sequence[Message]
T = TypeVar("T")

BATCH = 64
"""Conversations judged together, as many as `oa-chat check --jsonl` takes at a time."""
_BATCH_SECONDS = 900.0
"""A batch of long texts on a busy machine; what a single message may take is not measured here."""
_MOST_DEATHS = 3
"""Messages in a row that end the engine, or leave it silent: then it is the engine's fault."""


@dataclass(frozen=True, slots=True)
class JudgeInfo:
    """What is measured."""

    name: str
    """For tables: the embedded model's title or the file's name."""
    sha256: str
    family: str
    kind: str
    """"GGUF" or "checkpoint"."""
    size_bytes: int
    description: tuple[tuple[str, str], ...] = ()
    """More about it, for the card: architecture, licence ..."""
    flag_below: float = 0.0
    """The model's own threshold of p(casual); 0 if it has none."""


class Judge(Protocol):
    """Judges conversations."""

    @property
    def info(self) -> JudgeInfo:
        """What it is; known before anything is loaded."""
        ...

    def judge(self, conversations: Sequence[Conversation]) -> list[Prediction]:
        """One prediction a conversation, about its last message. Loads the model at first use.

        Raises an OaChatError only if going on makes no sense.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class Loadable(Protocol):
    """What is always needed of an engine; the app's and those for checkpoints have it."""

    @property
    def info(self) -> ModelInfo | None:
        """None before loading and after a failure."""
        ...


class NoAuthor:
    """Stands where the app has its author of rules: here only the guard is measured."""

    name = "none"

    async def load(self) -> None:
        """Nothing to load."""

    async def rule(self, text: str, severity: Severity, language: str = "") -> Authored:
        """No rule."""
        return Authored("", "")

    def categories(self, text: str, severity: Severity) -> tuple[str, ...]:
        """No category."""
        return ()

    async def close(self) -> None:
        """Nothing to free."""


class Loop:
    """Runs the app's coroutines one after another; an interrupt ends the one that runs."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Starts the loop if it does not run."""
        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(work)

    def close(self) -> None:
        """End the loop; may be called again."""
        if self._runner:
            self._runner.close()
        self._runner = None


class GuardJudge:
    """A guard, asked as the app asks it. See `Judge`."""

    def __init__(self, info: JudgeInfo, engine: Loadable, family: GuardFamily) -> None:
        """`engine` answers what the family's kind of engine is asked, or is one of the app's."""
        self.info = info
        self._engine = engine
        limits = GuardLimits(check=_BATCH_SECONDS)
        self._guard = LocalGuard(info.name, cast(Engine, engine), family, NoAuthor(), limits)
        self._loop = Loop()
        self._deaths = 0

    def judge(self, conversations: Sequence[Conversation]) -> list[Prediction]:
        """One prediction a conversation. A failing engine is asked once more for each of them."""
        return self._loop.run(self._judge(conversations))

    def close(self) -> None:
        """End the engine's process."""
        try:
            self._loop.run(self._guard.close())
        finally:
            self._loop.close()

    async def _judge(self, conversations: Sequence[Conversation]) -> list[Prediction]:
        await self._guard.load()
        try:
            verdicts = await self._guard.check_many(conversations)
        except OaChatError as error:  # LocalGuard raises none; a guard of another kind may
            verdicts = [Verdict(None, self.info.name, failure=error.message)] * len(conversations)
        return [
            await self._settled(one, verdict)
            for one, verdict in zip(conversations, verdicts, strict=True)
        ]

    async def _settled(self, conversation: Conversation, verdict: Verdict) -> Prediction:
        """The prediction; without an answer to read, after one more try."""
        if verdict.readable or verdict.raw:
            self._deaths = 0
            return _prediction(verdict)
        (verdict,) = await self._guard.check_many([conversation])
        lost = not verdict.readable and self._engine.info is None
        self._deaths = self._deaths + 1 if lost else 0
        if self._deaths >= _MOST_DEATHS:
            raise EngineError(
                f"The engine of {self.info.name} failed at {self._deaths} messages in a row:"
                f" {verdict.failure}",
                "What was judged until now is kept. Is there enough memory? Try `oa-chat doctor`.",
            )
        return _prediction(verdict, lost=lost)


def open_gguf(wanted: str, threads: int = 0) -> GuardJudge:
    """A judge of a GGUF file or of a model by name. Raises ModelError if it is no guard."""
    path = catalog.path_of(wanted)
    found = identify(path)
    info = _info(wanted, path, read_header(path), found.family.name)
    return GuardJudge(info, Engine(path, found.family.kind, threads=threads), found.family)


def _prediction(verdict: Verdict, *, lost: bool = False) -> Prediction:
    level = None if verdict.severity is None else int(verdict.severity)
    return Prediction(level, verdict.probabilities, verdict.rule, verdict.failure, lost)


def _info(wanted: str, path: Path, header: GgufHeader, family: str) -> JudgeInfo:
    described = [("architecture", header.architecture)]
    for key in ("general.license", "general.size_label"):
        value = header.values.get(key)
        if isinstance(value, str):
            described.append((key.removeprefix("general."), value))
    own = own_keys(header)
    if own.max_tokens:
        described.append(("max_tokens", str(own.max_tokens)))
    if own.temperature != 1.0:
        described.append(("temperature", f"{own.temperature:g}"))
    return JudgeInfo(
        name=catalog.title_of(wanted),
        sha256=sha256_of(path),
        family=family,
        kind="GGUF",
        size_bytes=header.size_bytes,
        description=tuple(described),
        flag_below=round(own.flag_below, 6),
    )
