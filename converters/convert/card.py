"""`general.*` and `oa_chat.*`: what a model is, and how the app is to use it.

From oa_chat.json, and where that is silent from the hub's model card (the head of README.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from converters.convert.guard_config import GuardConfig
from converters.convert.precision import file_type
from converters.convert.source import Source, Value
from converters.errors import ConversionError

_HUB = "https://huggingface.co"
_LONGEST = 1 << 20


def metadata(
    folder: Path, source: Source, guard: GuardConfig, quant: str, *, verified: bool
) -> dict[str, Value]:
    """The keys that every file of ours has. Deterministic: no times, no paths."""
    import gguf

    general, card = guard.general, _card(folder)
    values: dict[str, Value] = {
        "general.type": "model",
        "general.name": general.name or folder.resolve().name,
        "general.size_label": gguf.size_label(source.parameters, 0, 0, 0),
        "general.file_type": file_type(quant),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    }
    for key in ("author", "version", "description"):
        if text := getattr(general, key):
            values[f"general.{key}"] = text
    if licence := general.license or _words(card.get("license"))[:1]:
        values["general.license"] = licence if isinstance(licence, str) else licence[0]
    models = general.base_models or _words(card.get("base_model"))
    sets = general.datasets or _words(card.get("datasets"))
    values |= _named("base_model", models, f"{_HUB}/")
    values |= _named("dataset", sets, f"{_HUB}/datasets/")
    if tags := general.tags or _words(card.get("tags")):
        values["general.tags"] = tags
    if languages := general.languages or _words(card.get("language")):
        values["general.languages"] = languages
    for key, number in sorted(general.sampling.items()):
        values[f"general.sampling.{key}"] = int(number) if key.startswith("top_k") else number
    return values | _own(guard, verified)


def _own(guard: GuardConfig, verified: bool) -> dict[str, Value]:
    values: dict[str, Value] = {"oa_chat.verified": verified}
    if guard.max_tokens:
        values["oa_chat.max_tokens"] = guard.max_tokens
    if guard.prompt_format:
        values["oa_chat.prompt_format"] = guard.prompt_format
    if guard.temperature != 1.0:
        values["oa_chat.temperature"] = guard.temperature
    if guard.thresholds.flag_below:
        values["oa_chat.thresholds.flag_below"] = guard.thresholds.flag_below
    if not guard.closer_looks:
        values["oa_chat.closer_looks"] = False
    return values


def _named(kind: str, names: Iterable[str], prefix: str) -> dict[str, Value]:
    """``general.base_model.*`` and ``general.dataset.*``: a name and, for hub ids, the address."""
    values: dict[str, Value] = {}
    listed = list(names)
    for number, name in enumerate(listed):
        place = f"general.{kind}.{number}"
        hub = name.count("/") == 1 and " " not in name
        values[f"{place}.name"] = name.rpartition("/")[2] if hub else name
        if hub:
            values[f"{place}.organization"] = name.partition("/")[0]
            values[f"{place}.repo_url"] = prefix + name
        elif name.startswith("https://"):
            values[f"{place}.repo_url"] = name
    return {f"general.{kind}.count": len(listed)} | values if listed else {}


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _card(folder: Path) -> dict[str, Any]:
    """The YAML head of README.md; empty without one. Raises ConversionError if it is broken."""
    import yaml  # type: ignore[import-untyped]

    path = folder / "README.md"
    if not path.is_file() or path.stat().st_size > _LONGEST:
        return {}
    parts = path.read_text(encoding="utf-8", errors="replace").split("\n---", 1)
    if len(parts) < 2 or not parts[0].startswith("---\n"):
        return {}
    try:
        card = yaml.safe_load(parts[0].removeprefix("---\n"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise ConversionError(f"{path}: the head of the card is no YAML: {first}.") from error
    return card if isinstance(card, dict) else {}


def file_name(guard: GuardConfig, folder: Path, source: Source, quant: str) -> str:
    """A name by GGUF's convention: Name-Size-Version-Encoding.gguf."""
    import gguf

    general = guard.general
    label = gguf.size_label(source.parameters, 0, 0, 0)
    name = gguf.naming_convention(
        general.name or folder.resolve().name, None, None, general.version or None, label, quant
    )
    kept = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name)
    return f"{kept.lstrip('.-') or 'model'}.gguf"
