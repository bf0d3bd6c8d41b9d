"""Exact duplicates: two records are the same when their fingerprints are.

Case, spaces and punctuation do not count; the earlier turns do. The labels do not: which of two
equal records stays is chosen by `converters.prepare.near.best_of`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from converters.prepare.letters import folded

FINGERPRINT_BYTES = 16
_BETWEEN_TURNS = "\n"  # white space never is in a folded text


def fingerprint(text: str, context: Sequence[tuple[str, str]] = ()) -> bytes:
    """The fingerprint of a message with its earlier turns, (role, text), oldest first."""
    whole = folded(text)
    if context:
        turns = [f"{role}:{folded(said)}" for role, said in context]
        whole = _BETWEEN_TURNS.join((*turns, whole))
    raw = whole.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=FINGERPRINT_BYTES).digest()
