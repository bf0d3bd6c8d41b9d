"""Long messages for a classifier to learn, composed of a record and harmless sentences around it.

What people label is mostly one or two sentences, so a model that was trained on that alone does
not see a bad sentence inside a long harmless text, and takes harmless length for a sign of harm.
The composed message has the record's target: a harmless record among harmless sentences stays
harmless. Works on token ids; it knows neither levels nor tensors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from oa_chat.engine.cuts import Ids


class ComposeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[compose]``: harmless messages before and behind a record."""

    share: float = 0.0
    """Of the records, in each epoch anew."""
    least: int = 60
    """Tokens that a composed message has at least; the most is what the window holds."""
    sources: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """Whose casual records may stand around others."""
    shortest: int = 5
    """Tokens of the shortest record that may."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not 0 <= self.share <= 1:
            raise ValueError("share must be between 0 and 1")
        if min(self.least, self.shortest) < 1:
            raise ValueError("least and shortest must be at least 1")


class Composer:
    """Puts harmless messages around a record, as many as a length drawn by chance allows."""

    def __init__(self, settings: ComposeSettings, harmless: Sequence[Ids], room: int) -> None:
        """`harmless`: token ids of messages without marks; `room`: tokens of a message."""
        self._settings = settings
        self._room = room
        self._harmless = [ids for ids in harmless if settings.shortest <= len(ids) <= room // 2]

    def wants(self, chance: random.Random) -> bool:
        """Whether a record is to be composed this time."""
        return bool(self._harmless) and chance.random() < self._settings.share

    def around(self, message: Ids, chance: random.Random) -> Ids:
        """The message among others, at a place of chance; as it is where nothing fits."""
        most = chance.randint(min(self._settings.least, self._room), self._room)
        before: list[Ids] = []
        behind: list[Ids] = []
        free = most - len(message)
        while free > 0:
            other = chance.choice(self._harmless)
            if len(other) > free:
                break
            (before if chance.random() < 0.5 else behind).append(other)
            free -= len(other)
        return (*_joined(before), *message, *_joined(behind))


def _joined(parts: Sequence[Ids]) -> Ids:
    return tuple(token for part in parts for token in part)
