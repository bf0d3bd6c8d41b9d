"""A chat target that never ends by itself, and a service with stand-ins around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from oa_chat.conversation import Message
from oa_chat.policies.shelf import Shelf
from oa_chat.serving.app import ServiceSetup
from oa_chat.serving.asked import Wanted
from oa_chat.serving.forwarding import Ended, Said
from tests.scripted import ScriptedGuard


class Endless:
    """Replies for ever; keeps whether it was ended."""

    ready = True
    waiting = 0

    def __init__(self, piece: str = "word ", pause: float = 0.01) -> None:
        self.ended = asyncio.Event()
        self._piece, self._pause = piece, pause

    def named(self, model: str) -> str:
        return "endless"

    async def load(self) -> None:
        pass

    async def models(self) -> list[str]:
        return ["endless"]

    async def reply(
        self, messages: Sequence[Message], wanted: Wanted
    ) -> AsyncGenerator[Said | Ended, None]:
        try:
            while True:
                yield Said(self._piece)
                await asyncio.sleep(self._pause)
        finally:
            self.ended.set()

    async def close(self) -> None:
        pass


def setup_of(target: Any = None, guard: ScriptedGuard | None = None, **named: Any) -> ServiceSetup:
    policy = Shelf().load("balanced").policy
    return ServiceSetup(guard or ScriptedGuard(), target or Endless(), policy, **named)
