"""Replies of a model on this machine: one at a time, the others wait in a bounded line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from oa_chat.backend import ChatBackend
from oa_chat.conversation import Message
from oa_chat.engine.protocol import Done, Piece, Prompted
from oa_chat.errors import EngineError
from oa_chat.sampling import Sampling
from oa_chat.serving.asked import Wanted
from oa_chat.serving.forwarding import Ended, FinishReason, Said, Usage
from oa_chat.serving.refusal import busy
from oa_chat.serving.stop_texts import StopTexts

_MOST_WAITING = 32
_REASONS: dict[str, FinishReason] = {"complete": "stop", "length": "length"}


class LocalModel:
    """A chat model behind the engine's seam. See `forwarding.ChatTarget`."""

    def __init__(self, chat: ChatBackend, name: str, sampling: Sampling) -> None:
        """`sampling` is what the settings say; a request's own wishes go before it."""
        self._name = name
        self._chat = chat
        self._sampling = sampling
        self._turn = asyncio.Lock()
        self.waiting = 0

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._chat.info is not None

    def named(self, model: str) -> str:
        """The loaded model's name, whatever was asked for: there is no other."""
        return self._name

    async def load(self) -> None:
        """Load the model."""
        await self._chat.load()

    async def models(self) -> list[str]:
        """The one model that there is."""
        return [self._name]

    async def reply(
        self, messages: Sequence[Message], wanted: Wanted
    ) -> AsyncGenerator[Said | Ended, None]:
        """The reply. Closed early, it has the engine stop."""
        if self.waiting >= _MOST_WAITING:
            raise busy("the chat model", 5)
        self.waiting += 1
        try:
            async with self._turn, aclosing(self._answers(messages, wanted)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            self.waiting -= 1

    async def _answers(
        self, messages: Sequence[Message], wanted: Wanted
    ) -> AsyncGenerator[Said | Ended, None]:
        stops = StopTexts(wanted.stop)
        prompt = made = 0
        sampling = _merged(self._sampling, wanted.sampling)
        async with aclosing(self._chat.reply(messages, sampling)) as answers:
            async for answer in answers:
                if isinstance(answer, Prompted):
                    prompt = answer.tokens
                elif isinstance(answer, Piece):
                    made += answer.tokens
                    if text := stops.feed(answer.text):
                        yield Said(text)
                    if stops.hit:
                        break
                elif isinstance(answer, Done):
                    made = answer.tokens
                    if answer.stop not in _REASONS:
                        raise EngineError("The chat model was stopped.")
                    if text := stops.rest():
                        yield Said(text)
                    yield Ended(_REASONS[answer.stop], Usage(prompt, made))
                    return
        yield Ended("stop", Usage(prompt, made))

    async def close(self) -> None:
        """End the model's process."""
        await self._chat.close()


def _merged(settings: Sampling, wanted: Sampling) -> Sampling:
    said: dict[str, Any] = {
        key: value for key, value in msgspec.structs.asdict(wanted).items() if value is not None
    }
    return msgspec.structs.replace(settings, **said)
