"""How the next token is chosen: the same fields in the settings file and on the wire.

What they mean to llama.cpp, and the defaults, are in `oa_chat.engine.sampler`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

_AtLeastNone = Annotated[float, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next token is chosen. None means: as the model's file says, else the default."""

    temperature: _AtLeastNone | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    top_p: _Share | None = None
    min_p: _Share | None = None
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seed: int | None = None
    """None is a fresh seed for every reply."""
