"""The seam for chat models: anything that continues a conversation.

`oa_chat.engine.process.Engine` is one; a model behind a server can be another. A backend knows
nothing about guards, policies or storage.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

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


class ChatBackend(Protocol):
    """A model that continues conversations. Every method may raise OaChatError."""

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model, or None before it is loaded."""
        ...

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model, or do nothing if it is loaded."""
        ...

    async def prefill(
        self, messages: Sequence[Message], skipped: int = 0, max_tokens: int | None = None
    ) -> Prefilled:
        """Evaluate a transcript without generating; `max_tokens` is what its reply may take."""
        ...

    def reply(
        self, messages: Sequence[Message], sampling: Sampling, skipped: int = 0
    ) -> AsyncGenerator[Prompted | Progress | Piece | Done, None]:
        """The assistant's next message."""
        ...

    def cancel(self) -> None:
        """Ask the running request to end soon."""
        ...

    async def close(self) -> None:
        """End the model."""
        ...
