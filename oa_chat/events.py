"""What happens to a message, as a stream of frozen events.

`ChatSession.send` yields these; the screen, the one-shot command, the JSON output and the tests
all consume the same stream. A stream ends with exactly one `Finished`, `Stopped`, `Withheld`,
`NotSent` or `Failed`, each of which carries the turn as it is now stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from oa_chat.conversation import Turn, WithdrawnReply
from oa_chat.errors import OaChatError
from oa_chat.policy import Decision
from oa_chat.reply_rules import ReplyAction
from oa_chat.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Saved:
    """The message is on disk. Always the first event."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Checked:
    """The guard has judged the message and the policy has decided."""

    verdict: Verdict
    decision: Decision


@dataclass(frozen=True, slots=True)
class Sending:
    """The message goes to the model now."""

    sent: str
    """The user's turn as sent, with the guideline."""
    guideline: str
    """The rule at the end of it, as sent; empty if there is none."""
    seen: str
    """The same with the marks of the model's template around it."""
    prompt_tokens: int
    cached_tokens: int
    context: int
    skipped_turns: int
    """How many of the oldest turns the model no longer sees."""
    newly_skipped: int
    """How many of those were left out just now."""


@dataclass(frozen=True, slots=True)
class Token:
    """New text of the reply."""

    text: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class ReplyHeld:
    """The model has written text that waits for the guard (strict). Follows every gap."""


@dataclass(frozen=True, slots=True)
class ReplyChecked:
    """The guard has read a part of the reply, or the whole at its end."""

    verdict: Verdict
    action: ReplyAction
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ReplyWithdrawn:
    """The reply was flagged: what was shown of it is taken back.

    `Sending` and a second try follow, or `Withheld`.
    """

    withdrawn: WithdrawnReply
    again: bool
    """Whether the model is asked once more, with the rule as guideline."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """The guard ended the reply: flagged twice, or (strict) no verdict on the next part.

    `turn.stop_reason` says which; `turn.reply` is what had passed before.
    """

    turn: Turn
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is complete (or at its length limit: see `turn.stop_reason`)."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Stopped:
    """The user stopped the reply. The partial reply is kept."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class NotSent:
    """The message was blocked, or the user withdrew it."""

    turn: Turn
    decision: Decision
    edit: bool = False
    """The user wants the text back in the composer."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Something broke. What was typed and what came of it is stored."""

    turn: Turn
    error: OaChatError


Ended = Finished | Stopped | Withheld | NotSent | Failed
"""What a stream ends with."""
Event = Saved | Checked | Sending | Token | ReplyHeld | ReplyChecked | ReplyWithdrawn | Ended


class Answer(StrEnum):
    """What a user can say about a message that waits."""

    SEND = "send"
    """Send it: with the guideline after CONFIRM, unchecked (this once) after HOLD."""
    EDIT = "edit"
    WITHDRAW = "withdraw"
    RETRY = "retry"
    """Ask the guard again. After HOLD only."""
    GUARD_OFF = "guard_off"
    """Send it, and switch the guard off for this conversation. After HOLD only."""


Ask = Callable[[Checked], Awaitable[Answer]]
"""How the session asks about a message that waits (CONFIRM or HOLD)."""


@dataclass(frozen=True, slots=True)
class Loading:
    """A model is being loaded."""

    part: str
    """"guard", "chat" or "second guard"."""
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A model is loaded."""

    part: str
    name: str
    device: str
    context: int
    load_ms: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A model could not be loaded."""

    part: str
    error: OaChatError


LoadEvent = Loading | Ready | LoadFailed
