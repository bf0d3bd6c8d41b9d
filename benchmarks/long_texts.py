"""Long texts and the guard: `python -m benchmarks.long_texts [GUARD]`.

Does a bad sentence hide in a long text, and is length alone flagged? Texts are the project's own
dev messages: harmless ones one behind another, without and with a message that needs caution.
Judged by the whole window alone, and by that and the closer looks at sentences
(`oa_chat.engine.looks`), as the app does. It says nothing about texts that people wrote as a whole:
for those see the evaluation packs.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row, print_table
from oa_chat import catalog
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Passage, Window
from oa_chat.guards.classifier import Classifier
from oa_chat.guards.registry import identify
from oa_chat.verdict import Severity

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / "converters" / "recipes" / "written" / "dev.jsonl.gz"
WORDS = (40, 80, 150)
TEXTS = 100


def messages() -> tuple[list[str], list[str]]:
    """Harmless messages, and ones that need caution or more; neither trained on."""
    with gzip.open(DEV, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    levels = [Severity.from_label(row["labels"][0]) for row in rows]
    alone = [not row["context"] and len(row["text"].split()) < 30 for row in rows]
    chosen = list(zip(rows, levels, alone, strict=True))
    harmless = [row["text"] for row, level, ok in chosen if ok and level is Severity.CASUAL]
    bad = [row["text"] for row, level, ok in chosen if ok and level >= Severity.CAUTION]
    return harmless, bad


def composed(words: int) -> tuple[list[str], list[str]]:
    """Texts of about so many words: harmless ones, and the same with one bad message."""
    harmless, bad = messages()
    chance = random.Random(words)
    clean, dirty = [], []
    for _ in range(TEXTS):
        parts: list[str] = []
        while sum(len(part.split()) for part in parts) < words:
            parts.append(_sentence(chance.choice(harmless)))
        clean.append(" ".join(parts))
        parts[chance.randrange(len(parts))] = _sentence(chance.choice(bad))
        dirty.append(" ".join(parts))
    return clean, dirty


def _sentence(text: str) -> str:
    return text if text[-1] in ".?!" else f"{text}."


def flagged(family: Classifier, judged: Sequence[Sequence[Window]], least: Severity) -> float:
    """The share of texts that come out at this level or worse."""
    levels = [family.read(windows).severity for windows in judged]
    return sum(level is not None and level >= least for level in levels) / len(levels)


async def measure(path: Path) -> None:
    found = identify(path).family
    if not isinstance(found, Classifier):
        raise SystemExit(f"{path} is no classifier")
    engine = Engine(path, "classifier", gpu_layers=0)
    rows = []
    for words in WORDS:
        texts = composed(words)
        clean, dirty = [await engine.classify([Passage(text) for text in part]) for part in texts]
        for name, least in (("flagged", Severity.POSSIBLY), ("caution", Severity.CAUTION)):
            whole = [flagged(found, [row[:1] for row in part], least) for part in (clean, dirty)]
            looks = [flagged(found, part, least) for part in (clean, dirty)]
            shown = [f"{harmless:.2f} / {bad:.2f}" for harmless, bad in (whole, looks)]
            rows.append(Row(f"{words} words, {name}", shown[1], shown[0]))
    await engine.close()
    print_table(f"harmless / with a bad message: all looks (ours), one window (peer): {path}", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Bad sentences in long texts.")
    parser.add_argument("guard", nargs="?", type=Path)
    path = parser.parse_args().guard or catalog.embedded_path(catalog.GUARD)
    asyncio.run(measure(path))


if __name__ == "__main__":
    main()
