"""What in a model file speaks for a family of text-generating guards: its names and its template.

Families say which words they look for and how sure each makes them; this module only looks.
Any text-generating model is a possible guard of any such family, with a confidence that is too low
to be chosen: so that ``--guard-family`` can name the family of a file that says nothing.
"""

from __future__ import annotations

import re

from oa_chat.engine.gguf_header import GgufHeader, kind_of
from oa_chat.guards.family import GuardFamily, Identified

UNSURE = 0.1
"""For a text-generating model without any sign of the family."""
_KEYS = ("general.name", "general.basename", "general.finetune")


def folded_names(header: GgufHeader) -> str:
    """The names in the file and the file's own, in small letters and digits, by spaces."""
    names = [header.values.get(key) for key in _KEYS] + [header.name, header.path.stem]
    return " ".join(re.sub(r"[^a-z0-9]+", "", str(name).casefold()) for name in names if name)


def template_has(header: GgufHeader, *words: str) -> bool:
    """Whether the file's chat template holds all of these words."""
    return header.chat_template is not None and all(word in header.chat_template for word in words)


def generating(header: GgufHeader) -> bool:
    """Whether the file is a model that writes text at all."""
    return kind_of(header) == "causal"


def best(
    header: GgufHeader, family: GuardFamily, *signs: tuple[bool, float, str]
) -> Identified | None:
    """The family with the surest sign that holds; `UNSURE` without one, None if it cannot write."""
    if not generating(header):
        return None
    held = [(confidence, why) for holds, confidence, why in signs if holds]
    confidence, why = max(held, default=(UNSURE, "a text-generating model that names no family"))
    return Identified(family, confidence, why)
