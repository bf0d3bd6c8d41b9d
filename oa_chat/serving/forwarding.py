"""The seam for what replies: a local model, or a server that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from oa_chat.conversation import Message
from oa_chat.serving.asked import Wanted
from oa_chat.verdict import Verdict

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
class ReplyReport:
    """What the guard said of a reply."""

    verdict: Verdict
    """The last one: on the whole reply, or on the part that ended it."""
    action: str
    """pass, note, withdraw or unjudged: see `reply_rules.ReplyAction`."""
    again: bool
    """Whether the model was asked a second time."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply is over. Always the last event."""

    reason: FinishReason
    usage: Usage | None = None
    """None if the upstream server does not say."""
    report: ReplyReport | None = None


class ChatTarget(Protocol):
    """Whatever replies. Every method may raise OaChatError."""

    def named(self, model: str) -> str:
        """The name for ``model`` in answers to a request that named `model`."""
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
