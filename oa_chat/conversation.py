"""What was said: messages, turns and conversations, as frozen data.

These types travel between all other parts. They know nothing about models, guards or storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from oa_chat.policy import Action
from oa_chat.verdict import Verdict

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a model sees it."""

    role: Role
    text: str


class StopReason(StrEnum):
    """Why a turn ended the way it did."""

    COMPLETE = "complete"
    """The model finished its reply."""
    LENGTH = "length"
    """The reply reached its token limit or the end of the context."""
    STOPPED = "stopped"
    """The user stopped the reply; the partial reply is kept."""
    WITHDRAWN = "withdrawn"
    """The user took the message back before it was sent."""
    BLOCKED = "blocked"
    """The policy kept the message from being sent."""
    FAILED = "failed"
    """Something broke; `Turn.failure` says what."""
    FLAGGED = "flagged"
    """The guard flagged the reply, and the second try as well: both were withdrawn."""
    UNJUDGED = "unjudged"
    """The guard gave no verdict: the reply ends before the rest. `Turn.failure` says why."""
    PENDING = "pending"
    """Not ended yet. On disk after a crash: the turn was cut off here."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a reply cost. Times are in milliseconds, counts in tokens."""

    guard_ms: float = 0.0
    first_token_ms: float = 0.0
    """From sending the message to the first token of the reply."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """How many of the prompt's tokens were in the cache already."""
    reply_tokens: int = 0
    decode_ms: float = 0.0
    """Time spent on decoding the reply, first token excluded."""

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed; 0.0 while it is not known."""
        if self.decode_ms <= 0 or self.reply_tokens < 2:
            return 0.0
        return (self.reply_tokens - 1) / self.decode_ms * 1000


@dataclass(frozen=True, slots=True)
class WithdrawnReply:
    """A reply, or its beginning, that was shown and taken back when the guard flagged it."""

    text: str
    """What was shown. What was held back for the guard is kept nowhere."""
    verdicts: tuple[Verdict, ...] = ()
    """What the guard said about it; the last one is the flag that withdrew it."""
    sent: str = ""
    """The user's turn as it had been sent for this try."""
    unshown: int = 0
    """How many characters of it were written and never shown."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A user's message and everything that came of it."""

    id: int
    """Row id in the store."""
    user: str
    """Exactly what the user typed."""
    sent: str | None = None
    """The user's turn as it was sent to the model; None if it was not sent."""
    reply: str = ""
    verdicts: tuple[Verdict, ...] = ()
    action: Action | None = None
    stop_reason: StopReason = StopReason.PENDING
    failure: str = ""
    timing: Timing = field(default_factory=Timing)
    created: str = ""
    """ISO 8601, UTC."""
    model: str = ""
    """Name of the chat model; empty where nobody noted it."""
    withdrawn: tuple[WithdrawnReply, ...] = ()
    """Earlier tries at the reply, oldest first."""
    reason: str = ""
    """What decided about the message, in words (`Decision.reason`); empty if nothing did."""

    @property
    def verdict(self) -> Verdict | None:
        """The newest verdict on the user's message."""
        own = [verdict for verdict in self.verdicts if verdict.subject == "message"]
        return own[-1] if own else None

    @property
    def reply_verdict(self) -> Verdict | None:
        """What the guard said about the reply as it stands: its worst part counts.

        A part without a verdict counts as the worst of all, unless the reply was judged as a whole
        at its end.
        """
        own = [verdict for verdict in self.verdicts if verdict.subject == "reply"]
        if not own:
            return None
        ended = self.stop_reason in (StopReason.COMPLETE, StopReason.LENGTH)
        unread = [verdict for verdict in own if not verdict.readable]
        if unread and not (ended and own[-1].readable):
            return unread[-1]
        return max((old for old in own if old.readable), key=lambda old: old.badness)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it is stored, oldest turn first."""

    id: int
    title: str
    system_prompt: str
    turns: tuple[Turn, ...] = ()
    guard_off: bool = False
    """The user switched the guard off for this conversation."""

    def exchanges_sent(self) -> tuple[Message, ...]:
        """User and assistant in turn, as the chat model has seen them.

        Only turns that were sent and answered at least in part: templates want the two roles to
        alternate.
        """
        return self._exchanges(lambda turn: turn.sent or "")

    def messages_typed(self) -> tuple[Message, ...]:
        """The same exchanges as the guard judges them: what was typed, without guidelines."""
        return self._exchanges(lambda turn: turn.user)

    def _exchanges(self, user_text: Callable[[Turn], str]) -> tuple[Message, ...]:
        transcript: list[Message] = []
        for turn in self.turns:
            if turn.sent is not None and turn.reply:
                transcript.append(Message("user", user_text(turn)))
                transcript.append(Message("assistant", turn.reply))
        return tuple(transcript)
