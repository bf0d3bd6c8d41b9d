"""How long a context is, and which turns still fit into it: pure, counts come from outside.

Whole turns are dropped from the front; the system message and the newest message stay. When one
must go, more go with it, so that not every following turn has to be evaluated from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.errors import ContextFull

DEFAULT_CONTEXT = 8192
"""Without a wish, no more than this: a long context costs memory from the start."""
STRETCH = 4
"""A context may be this much longer than what the model was trained with. Beyond that it says
nothing sensible, and the memory for it takes minutes to be refused."""
SMALLEST_CONTEXT = 128
SMALLEST_RESERVE = 64
FILLED_AFTER_DROP = 0.6


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a context a prompt may use, in tokens."""

    context: int
    reserve: int
    """Kept free for the reply."""
    trained: int = 0

    @property
    def limit(self) -> int:
        """The longest prompt."""
        return self.context - self.reserve

    @property
    def target(self) -> int:
        """The longest prompt right after turns were dropped."""
        return min(self.limit, int(self.context * FILLED_AFTER_DROP))


def wanted_context(asked: int, trained: int) -> int:
    """Tokens of context to ask for; `asked` 0 is no wish, `trained` 0 is unknown."""
    if asked > 0:
        most = STRETCH * max(trained, DEFAULT_CONTEXT)
        return max(SMALLEST_CONTEXT, min(asked, most))
    return max(SMALLEST_CONTEXT, min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT))


def room_for(context: int, max_tokens: int, trained: int = 0) -> Room:
    """Room in a context for a prompt that a reply of up to `max_tokens` follows."""
    reserve = min(max(SMALLEST_RESERVE, context // 8), max_tokens, context // 2)
    return Room(context, reserve, trained)


def droppable_turns(messages: Sequence[Message]) -> int:
    """How many turns there are in front of the newest message."""
    return max(0, sum(message.role == "user" for message in messages) - 1)


def without_turns(messages: Sequence[Message], skipped: int) -> list[Message]:
    """The messages without the `skipped` oldest turns; system messages stay."""
    kept: list[Message] = []
    turn = 0
    for message in messages:
        turn += message.role == "user"
        if message.role == "system" or turn > skipped:
            kept.append(message)
    return kept


def turns_to_skip(
    messages: Sequence[Message], skipped: int, room: Room, count: Callable[[int], int]
) -> int:
    """How many of the oldest turns to leave out, at least `skipped`.

    `count` gives the prompt's tokens for a number of skipped turns. Raises `ContextFull` if even
    the newest message alone is too long.
    """
    most = droppable_turns(messages)
    skipped = max(0, min(skipped, most))
    if count(skipped) <= room.limit:
        return skipped
    low, high = skipped + 1, most
    while low < high:  # the fewest turns that reach the target, or all
        middle = (low + high) // 2
        if count(middle) <= room.target:
            high = middle
        else:
            low = middle + 1
    alone = count(most)
    if alone > room.limit:
        raise ContextFull(
            f"The message needs {alone:,} tokens, but this model has room for {room.limit}"
            f" (a context of {room.context}, {room.reserve} of them kept for the reply).",
            _hint(room),
        )
    return min(high, most)


def _hint(room: Room) -> str:
    if room.trained > room.context:
        return f"Shorten it, or use a larger context (up to {room.trained}): --context N"
    return "Shorten it, or use a model with a larger context."
