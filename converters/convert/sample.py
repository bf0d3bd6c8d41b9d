"""What a guard file makes of labelled records: macro-F1 and calibration error, through the app.

Only the change between two files of one model matters here; full metrics are `oa-chat evaluate`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import ConversionError
from converters.records import Record, read_records
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Passage
from oa_chat.errors import OaChatError
from oa_chat.guards.family import GuardFamily, Reading
from oa_chat.guards.registry import identify
from oa_chat.guards.windows import shortened
from oa_chat.verdict import LABELS, Severity

_BATCH = 32
_BINS = 15


@dataclass(frozen=True, slots=True)
class Measured:
    """The guard's numbers on a sample."""

    records: int
    f1: float
    """Mean over the levels that occur, in the records or in the answers."""
    ece: float
    """Expected calibration error of the most probable level, in 15 bins."""


def labelled(path: Path) -> list[Record]:
    """The records of a sample that have levels. Raises DataError, or ConversionError for none."""
    records = [record for record in read_records(path) if record.levels]
    if not records:
        raise ConversionError(
            f"{path} has no record with a level.", "A sample needs the column label or labels."
        )
    return records


def measure(file: Path, records: Sequence[Record]) -> Measured:
    """Judge the records with a guard file. Raises ConversionError if it is no guard."""
    try:
        family = identify(file).family
        readings = asyncio.run(_read(file, family, records))
    except OaChatError as error:
        raise ConversionError(
            f"The sample cannot be judged: {error.message}", error.hint
        ) from error
    pairs = list(zip(records, readings, strict=True))
    return Measured(len(pairs), _macro_f1(pairs), _calibration_error(pairs))


async def _read(file: Path, family: GuardFamily, records: Sequence[Record]) -> list[Reading]:
    engine = Engine(file, family.kind)
    readings: list[Reading] = []
    try:
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            prompts = [family.prompt(shortened(record.messages)) for record in batch]
            passages = [prompt for prompt in prompts if isinstance(prompt, Passage)]
            if passages:
                readings += map(family.read, await engine.classify(passages))
            else:
                written = [prompt for prompt in prompts if isinstance(prompt, list)]
                outputs = await engine.write(written, LABELS, brief=LABELS)
                readings += map(family.read, outputs)
    finally:
        await engine.close()
    return readings


def _macro_f1(pairs: Sequence[tuple[Record, Reading]]) -> float:
    """A partial label is taken as the answer if it allows it, else as its mildest level."""
    truth = [
        reading.severity if reading.severity in record.levels else min(record.levels)
        for record, reading in pairs
    ]
    given = [reading.severity for _, reading in pairs]
    scores = []
    for level in Severity:
        hits = sum(one is other is level for one, other in zip(truth, given, strict=True))
        seen = truth.count(level) + given.count(level)
        if seen:
            scores.append(2 * hits / seen)
    return sum(scores) / len(scores)


def _calibration_error(pairs: Sequence[tuple[Record, Reading]]) -> float:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for record, reading in pairs:
        if reading.probabilities:
            top = max(reading.probabilities)
            right = reading.probabilities.index(top) in record.levels
            bins[min(int(top * _BINS), _BINS - 1)].append((top, right))
    total = sum(map(len, bins)) or 1
    return sum(
        abs(sum(top for top, _ in part) - sum(right for _, right in part)) / total for part in bins
    )
