"""Which languages a guard knows: as its file says, else as its family is known for. Pure.

A file says so in ``general.languages`` (GGUF specification, general metadata: ISO 639 codes). For
files that are silent the table below holds what the makers publish; a family that is not in it may
know any language. What is done about a message in another language is the policy's matter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from oa_chat import language
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.verdict import Verdict

_ANY = frozenset({"multilingual", "mul", "multi", "all", "und"})
"""What model cards write for many languages; then nothing is ruled out."""

_PUBLISHED: dict[str, tuple[str, ...]] = {
    # ProsocialDialog, which these models learnt from, is English.
    "open-assistant": ("en",),
    "wildguard": ("en",),
    # English alone, says each model card.
    "granite-guardian": ("en",),
    "granite-guardian-think": ("en",),
    # Of the first of them; the file of version 3 names its nine.
    "nemoguard": ("en",),
    # The model card of ToxicityPrompts/PolyGuard-Qwen-Smol.
    "polyguard": (
        *("ar", "cs", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru"),
        *("sv", "th", "zh"),
    ),
}
"""Family -> languages that its makers name. Families that are trained on many are left out."""


def known_languages(header: GgufHeader, family: str) -> tuple[str, ...]:
    """The languages of a guard's file, as ISO 639-1 codes; empty is unknown, or any."""
    stated = header.values.get("general.languages")
    if isinstance(stated, list) and stated:
        codes = [str(one).lower().replace("_", "-").partition("-")[0] for one in stated]
        return () if _ANY & set(codes) else tuple(dict.fromkeys(codes))
    return _PUBLISHED.get(family, ())


def with_language(verdict: Verdict, text: str, known: Collection[str]) -> Verdict:
    """The verdict with the language of the text that was judged."""
    code, known_here = language.detect(text), language.is_known(text, known)
    return replace(verdict, language=code, language_known=known_here)
