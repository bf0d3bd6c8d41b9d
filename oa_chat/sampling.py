"""How the next token is chosen: the same fields in the settings file and on the wire.

What they mean to llama.cpp, and the defaults, are in `oa_chat.engine.sampler`.
"""

from __future__ import annotations

import msgspec


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next token is chosen. None means: as the model's file says, else the default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    """None is a fresh seed for every reply."""
