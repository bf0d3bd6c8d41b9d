"""Verdicts on conversations that were judged before: a guard says the same of the same text.

Clients send their history with every message. Only whole verdicts are kept, never a failure, and no
text: a conversation is known by its digest. What is kept is bounded, and gone with the process.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from oa_chat.conversation import Message
from oa_chat.guards.windows import shortened
from oa_chat.verdict import Verdict

MOST = 8192
"""Verdicts; the one that was not needed for the longest time goes first."""


class Remembered:
    """Verdicts by what the guard saw."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, key: bytes) -> Verdict | None:
        """The verdict on a conversation, at no cost this time; None if there is none."""
        verdict = self._verdicts.get(key)
        if verdict is None:
            return None
        self._verdicts.move_to_end(key)
        return replace(verdict, latency_ms=0.0)

    def keep(self, key: bytes, verdict: Verdict) -> None:
        """Remember a verdict, unless any guard failed at it."""
        if not verdict.readable or any(stage.failure for stage in verdict.stages):
            return
        self._verdicts[key] = verdict
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > self._most:
            self._verdicts.popitem(last=False)


def digest(messages: Sequence[Message]) -> bytes:
    """Of what any guard sees of a conversation: the roles and the words, and nothing older."""
    return hashlib.sha256(msgspec.json.encode(shortened(messages))).digest()
