"""The metadata that `oa-chat convert` writes under ``oa_chat.*``, checked. See docs/convert.md.

Files of other origin have none of it and get the defaults; a value that makes no sense is as good
as none. Read from the header alone, so both sides of the process boundary can use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from oa_chat.engine.gguf_header import GgufHeader

DEFAULT_MAX_TOKENS = 128
"""For files that do not say how long their training texts were: guards are trained on short texts
and are unreliable beyond, whatever the architecture allows (512 for BERT)."""
_UNVERIFIED = "This file was converted with --no-verify: nobody has compared it with its original."


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """What a converted file says about how it is to be used."""

    max_tokens: int = 0
    """Tokens of the longest text it was trained on; 0 is unknown."""
    separators: int = 1
    """Separator tokens between context and message: RoBERTa has two."""
    temperature: float = 1.0
    """Calibration: probabilities are softmax(logits / temperature)."""
    flag_below: float = 0.0
    """Above 0: flagged if and only if the probability of "casual" is below it."""
    closer_looks: bool = True
    """Whether the sentences of a long text are looked at one by one as well (`looks`). A model that
    was trained on bad sentences inside long texts says that it needs none."""
    prompt_format: str = ""
    """The guard family, and its dialect behind a slash."""
    verified: bool | None = None
    """Whether the conversion was compared with the original; None is not said."""

    @property
    def note(self) -> str:
        """What a user should know; mostly nothing."""
        return _UNVERIFIED if self.verified is False else ""


def own_keys(header: GgufHeader) -> OwnKeys:
    """The keys of a file."""
    values = {
        key.removeprefix("oa_chat."): value
        for key, value in header.values.items()
        if key.startswith("oa_chat.")
    }

    def number(key: str, default: float, least: float, most: float) -> float:
        value = values.get(key)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        fits = known and math.isfinite(value) and least <= value <= most  # type: ignore[arg-type, operator]
        return float(value) if fits else default  # type: ignore[arg-type]

    closer_looks = values.get("closer_looks")
    prompt_format, verified = values.get("prompt_format"), values.get("verified")
    return OwnKeys(
        max_tokens=int(number("max_tokens", 0, 0, 2**20)),
        separators=int(number("separators", 1, 1, 2)),
        temperature=number("temperature", 1.0, 0.01, 100.0),
        flag_below=number("thresholds.flag_below", 0.0, 0.0, 1.0),
        closer_looks=closer_looks if isinstance(closer_looks, bool) else True,
        prompt_format=prompt_format if isinstance(prompt_format, str) else "",
        verified=verified if isinstance(verified, bool) else None,
    )
