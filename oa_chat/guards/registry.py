"""The guard families by name, and which one fits a model file.

A new family is one file in this package, one line in `FAMILIES` and one test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from oa_chat.engine.gguf_header import GgufHeader, read_header
from oa_chat.errors import UsageError, WrongModelKind
from oa_chat.guards import (
    classifier,
    gpt_oss_safeguard,
    granite_guardian,
    llama_guard,
    nemoguard,
    open_assistant,
    polyguard,
    qwen3guard,
    shieldgemma,
    wildguard,
    xguard,
)
from oa_chat.guards.family import Identified
from oa_chat.guards.languages import known_languages

FAMILIES: dict[str, Callable[[GgufHeader], Identified | None]] = {
    "classifier": classifier.identify,
    "open-assistant": open_assistant.identify,
    "llama-guard": llama_guard.identify,
    "qwen3guard": qwen3guard.identify,
    "shieldgemma": shieldgemma.identify,
    "granite-guardian": granite_guardian.identify,
    "granite-guardian-think": granite_guardian.identify_thinking,
    "xguard": xguard.identify,
    "wildguard": wildguard.identify,
    "polyguard": polyguard.identify,
    "nemoguard": nemoguard.identify,
    "gpt-oss-safeguard": gpt_oss_safeguard.identify,
}
"""Name -> how to tell from a file's header whether (and how surely) it is of this family."""

_CONFIDENT = 0.5


def identify(path: Path, wanted: str = "") -> Identified:
    """The family of a model file: the one named, else the one that the header speaks for.

    Raises UsageError for an unknown name, ModelError if the file cannot be read and
    WrongModelKind if no family fits.
    """
    if wanted and wanted not in FAMILIES:
        raise UsageError(
            f"There is no guard family {wanted!r}.", f"Known families: {', '.join(FAMILIES)}."
        )
    header = read_header(path)
    if wanted:
        found = FAMILIES[wanted](header)
        if found is None:
            raise WrongModelKind(
                f"{path} cannot be a guard of the family {wanted!r}: {_what(header)}.",
                f"Leave out --guard-family to detect it. Known families: {', '.join(FAMILIES)}.",
            )
        return _with_languages(found, header)
    candidates = [found for test in FAMILIES.values() if (found := test(header)) is not None]
    best = max(candidates, key=lambda found: found.confidence, default=None)
    if best is None or best.confidence < _CONFIDENT:
        raise WrongModelKind(
            f"{path} is not a guard that oa-chat knows: {_what(header)}.",
            "Name its family with --guard-family if it is one of: " + ", ".join(FAMILIES) + ".",
        )
    return _with_languages(best, header)


def _with_languages(found: Identified, header: GgufHeader) -> Identified:
    return replace(found, languages=known_languages(header, found.family.name))


def _what(header: GgufHeader) -> str:
    labels = f" with the labels {', '.join(header.labels[:6])}" if header.labels else ""
    return f"it is a {header.architecture} model{labels}"
