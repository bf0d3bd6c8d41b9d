"""The model card, in the hub's format: what was trained, from what, how, and the dev numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.provenance import replacing
from converters.train.job import Finished
from converters.train.settings import Recipe


def write_card(out: Path, recipe: Recipe, finished: Finished, files: Sequence[str]) -> None:
    """Write README.md into the folder."""
    from huggingface_hub import ModelCard, ModelCardData

    general = recipe.general
    name = general.name or Path(recipe.out).name
    head: dict[str, Any] = {
        "license": general.license or None,
        "language": general.languages or None,
        "base_model": general.base_models or None,
        "datasets": [one for one in general.datasets if "/" in one and " " not in one] or None,
        "tags": sorted({"oa-chat", *general.tags}),
        "library_name": "transformers",
        "model_name": name,
        **finished.tags,
    }
    data = ModelCardData(**{key: value for key, value in head.items() if value is not None})
    sections = [
        f"# {name}",
        general.description,
        finished.card,
        "## Training",
        _MADE,
        f"* base: {recipe.base if recipe.base.startswith('scratch:') else Path(recipe.base).name}",
        "* files: " + ", ".join(f"`{file}`" for file in files),
        "\n".join(f"* {line}" for line in _settings(recipe)),
    ]
    text = "\n\n".join(section for section in sections if section)
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")
    with replacing(out / "README.md") as part:
        part.write_text(card.content, encoding="utf-8")


_MADE = (
    "Made with `oa-chat train`; the recipe with all its values is in `recipe.json`, the hashes of"
    " the data in `data.json`, the curve in `loss.png`."
)


def table(rows: Sequence[tuple[str, Any]]) -> str:
    """A table with two columns in Markdown."""
    lines = ["| | |", "|---|---|"]
    for name, value in rows:
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def _settings(recipe: Recipe) -> list[str]:
    told = msgspec.to_builtins(recipe.train)
    names = ("epochs", "max_steps", "batch", "accumulation", "rate", "schedule", "weight_decay")
    return [", ".join(f"{name} {told[name]}" for name in names) + f", seed {recipe.seed}"]
