"""Writes what was found into a folder: JSON, predictions, plots, cards and the comparison.

    OUT/results.json      every number, the same in every run
    OUT/latency.json      times, which are not
    OUT/predictions.jsonl a line a message: its hash (with `with_text`: the text), level, scores
    OUT/plots/*.png       drawn by `plots`
    OUT/README.md         the card
    OUT/cache/            what `predictions` remembers

Several models get a folder each in OUT, and compare.md beside them. Every file is written whole or
not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.errors import DataError
from converters.evaluate.card import model_card
from converters.evaluate.outcomes import Outcome
from converters.evaluate.plots import write_plots
from converters.evaluate.report import ModelReport, SetReport
from converters.evaluate.tables import Grid, guard_grids
from converters.provenance import replacing
from oa_chat.errors import UsageError
from oa_chat.verdict import LABELS

CACHE = "cache"


def require_folder(folder: Path) -> None:
    """Make the folder. Raises UsageError if it cannot be written to."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {folder} cannot be written to: {error.strerror or error}.",
            "Name another folder.",
        ) from error


def write_model(report: ModelReport, folder: Path, limit: int, *, with_text: bool) -> None:
    """Predictions, plots and card of one model. Raises DataError if the disk refuses."""
    with _told(folder):
        _write(folder / "predictions.jsonl", _predictions(report, with_text=with_text))
        plots = write_plots(report, folder / "plots")
        _write(folder / "README.md", [model_card(report, plots, limit)])


def write_json(path: Path, fields: dict[str, Any]) -> None:
    """A JSON file, indented. Raises DataError if the disk refuses."""
    with _told(path.parent):
        _write(path, [json.dumps(fields, indent=2, ensure_ascii=False) + "\n"])


def write_comparison(path: Path, title: str, grids: Sequence[Grid]) -> None:
    """Tables as Markdown. Raises DataError if the disk refuses."""
    parts = [f"# {title}", *(f"## {grid.title}\n\n{grid.markdown()}" for grid in grids)]
    with _told(path.parent):
        _write(path, ["\n\n".join(parts) + "\n"])


def comparison_grids(reports: Sequence[ModelReport]) -> list[Grid]:
    """What is compared: the tables, and which model is which."""
    rows = tuple(
        (one.info.name, one.info.family, f"{one.info.size_bytes:,}", one.info.sha256)
        for one in reports
    )
    models = Grid("Models", ("model", "family", "bytes", "sha256"), rows)
    return [models, *guard_grids(reports)]


def folder_names(names: Sequence[str]) -> list[str]:
    """A folder name for each model: its letters and digits, with a number where two are alike."""
    found: list[str] = []
    for name in names:
        stem = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "model"
        stem = "model-cache" if stem == CACHE else stem
        number, slug = 1, stem
        while slug in found:
            number += 1
            slug = f"{stem}-{number}"
        found.append(slug)
    return found


def _predictions(report: ModelReport, *, with_text: bool) -> Iterator[str]:
    for one in report.sets:
        for at in range(len(one.outcome.samples)):
            line = _prediction(one, one.outcome, at)
            if with_text:
                line["text"] = one.outcome.samples[at].text
            yield json.dumps(line, ensure_ascii=False) + "\n"


def _prediction(one: SetReport, outcome: Outcome, at: int) -> dict[str, Any]:
    sample, level = outcome.samples[at], int(outcome.level[at])
    row = None
    if outcome.probabilities is not None and level >= 0:
        row = [round(float(value), 6) for value in outcome.probabilities[at]]
    return {
        "set": one.data.name,
        "number": sample.number,
        "text_sha256": sample.text_hash,
        "unsafe": sample.unsafe,
        "levels": [level.label for level in sorted(sample.levels)],
        "level": LABELS[level] if level >= 0 else None,
        "flagged": bool(outcome.flagged[at]),
        "probabilities": row,
    }


def _write(path: Path, chunks: Iterator[str] | Sequence[str]) -> None:
    # newline: the same bytes on every system
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as stream:
        for chunk in chunks:
            stream.write(chunk)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "Is the disk full? Name another folder with --out; what was judged is kept.",
        ) from error
