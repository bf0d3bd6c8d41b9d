"""Fitting messages into a guard that takes text up to a length. Pure.

The newest message is never cut: context gives way first, and a message that is too long by itself
is judged in overlapping windows, of which the worst counts. Classifiers do the same by themselves,
by tokens (`oa_chat.engine.looks`).
"""

from __future__ import annotations

from collections.abc import Sequence

from oa_chat.conversation import Message
from oa_chat.engine import cuts
from oa_chat.guards.classifier import expected_level
from oa_chat.guards.family import Reading

_MESSAGES = 6
_CHARACTERS = 2000
"""Earlier turns are cut to what any guard can use, so that a check costs the same at turn 500."""


def shortened(messages: Sequence[Message]) -> list[Message]:
    """The last message whole; before it, the newest turns, each cut from its front."""
    earlier = messages[:-1][-_MESSAGES:]
    cut = [Message(message.role, message.text[-_CHARACTERS:]) for message in earlier]
    return [*cut, messages[-1]]


def fitted(messages: Sequence[Message], characters: int) -> list[Message]:
    """The last message whole, and the newest context that fits beside it, cut from its front."""
    kept = [messages[-1]]
    room = characters - len(messages[-1].text)
    for message in reversed(messages[:-1]):
        if room <= 0:
            break
        kept.insert(0, Message(message.role, message.text[-room:]))
        room -= len(message.text)
    return kept


def overlapping(text: str, size: int) -> list[tuple[int, int]]:
    """Where pieces of `size` characters start and end that overlap by half and cover the text."""
    return cuts.overlapping((0, len(text)), size)


def worst(readings: Sequence[Reading]) -> Reading:
    """The most severe of some readings. One without a severity counts as the worst of all."""

    def badness(reading: Reading) -> tuple[float, float]:
        if reading.severity is None:
            return float("inf"), 0.0
        expected = expected_level(reading.probabilities) if reading.probabilities else 0.0
        return float(reading.severity), expected

    return max(readings, key=badness)
