"""The seam for what replies: a local model, or a server that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from oa_chat.conversation import Message
from oa_chat.serving.asked import Wanted

FinishReason = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True)
class Said:
    """New text of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply cost, in tokens."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply is over. Always the last event."""

    reason: FinishReason
    usage: Usage | None = None
    """None if the upstream server does not say."""


class ChatTarget(Protocol):
    """Whatever replies. Every method may raise OaChatError."""

    @property
    def name(self) -> str:
        """The name for ``model`` in answers."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it can reply at once."""
        ...

    @property
    def waiting(self) -> int:
        """How many replies are being written or wait."""
        ...

    async def load(self) -> None:
        """Get ready."""
        ...

    async def models(self) -> list[str]:
        """Names that clients may ask for."""
        ...

    def reply(
        self, messages: Sequence[Message], wanted: Wanted
    ) -> AsyncGenerator[Said | Ended, None]:
        """The assistant's next message. Closing the generator ends the work."""
        ...

    async def close(self) -> None:
        """Free what it holds."""
        ...
