"""Which languages a guard knows: as its file says, else as its family is known for. Pure.

A file says so in ``general.languages`` (GGUF specification, general metadata: ISO 639 codes). For
files that are silent the table below holds what the makers publish; a family that is not in it may
know any language. What is done about a message in another language is the policy's matter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from oa_chat import language
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.verdict import Verdict

_ANY = frozenset({"multilingual", "mul", "multi", "all", "und"})
"""What model cards write for many languages; then nothing is ruled out."""

_CODE = re.compile(r"[a-z]{2}")
_PUBLISHED: dict[str, str] = {
    "open-assistant": "en",
    "llama-guard": "de en es fr hi it pt th",
    "shieldgemma": "en",
    "granite-guardian": "en",
    "granite-guardian-think": "en",
    "wildguard": "en",
    "polyguard": "ar cs de en es fr hi it ja ko nl pl pt ru sv th zh",
    "nemoguard": "en",
}
"""Family -> languages that its makers name (docs/guard-families.md). Families whose makers name
none, or more than a hundred, are left out."""
_NEMOTRON = "ar de en es fr hi ja th zh"
"""NVIDIA's later model of the family "nemoguard", told by its name."""


def known_languages(header: GgufHeader, family: str) -> tuple[str, ...]:
    """The languages of a guard's file, as ISO 639-1 codes; empty is unknown, or any."""
    stated = header.values.get("general.languages")
    said = [str(one) for one in stated] if isinstance(stated, list) else []
    codes = [one.casefold().replace("_", "-").partition("-")[0] for one in said]
    if _ANY & set(codes):
        return ()
    if known := tuple(dict.fromkeys(filter(_CODE.fullmatch, codes))):
        return known
    if family == "nemoguard" and "nemotron" in header.name.lower():
        return tuple(_NEMOTRON.split())
    return tuple(_PUBLISHED.get(family, "").split())


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is known of a text's language."""

    code: str
    """ISO 639-1; empty if it is short, mixed, code or unsure."""
    known: bool
    """Whether nothing in it surely is in a language that the guard does not know."""

    def on(self, verdict: Verdict) -> Verdict:
        """The verdict on the text, with its language."""
        return replace(verdict, language=self.code, language_known=self.known)


def spoken_in(texts: Sequence[str], known: Collection[str]) -> list[Spoken]:
    """The language of each text, for a guard that knows these languages."""
    return [Spoken(language.detect(text), language.is_known(text, known)) for text in texts]
