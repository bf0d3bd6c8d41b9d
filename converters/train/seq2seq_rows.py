"""Records as a T5 guard learns them: prompt and answer of the family's dialect, with a weight."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from converters.errors import DataError
from converters.records import Record, record_of
from converters.rows import read_rows
from converters.train.guard_rows import SourceRule
from oa_chat.guards.open_assistant import OpenAssistant
from oa_chat.guards.windows import shortened
from oa_chat.segment import Segment
from oa_chat.verdict import Severity


@dataclass(frozen=True, slots=True)
class Example:
    """A record to learn."""

    prompt: tuple[Segment, ...]
    target: tuple[Segment, ...]
    weight: float
    severity: Severity
    rules: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """How records become examples."""

    family: OpenAssistant
    rules: Sequence[SourceRule]
    skip: Sequence[str]
    most_rules: int
    need_rule: bool
    """Leave out flagged records without a rule."""
    seed: int


def read_examples(files: Iterable[Path], wanted: Wanted) -> tuple[list[Example], int]:
    """Examples, and how many records were left out. Raises DataError for a file without one."""
    made: list[Example] = []
    left_out = 0
    for path in files:
        before = len(made)
        for number, raw in read_rows(path):
            record = record_of(raw, f"{path}, line {number}")
            if any(fnmatchcase(record.row.source, name) for name in wanted.skip):
                continue
            flagged = Severity.CASUAL not in record.levels
            if len(record.levels) != 1 or (flagged and wanted.need_rule and not record.rules):
                left_out += 1
                continue
            rule = next((rule for rule in wanted.rules if rule.fits(record)), SourceRule())
            chance = random.Random(f"{wanted.seed}/{path.name}/{number}")  # noqa: S311 - no secret
            times = int(rule.repeat) + (chance.random() < rule.repeat % 1)
            made += [_example(record, rule, wanted)] * times
        if len(made) == before:
            raise DataError(
                f"{path} has no record with exactly one level{_need(wanted)}.",
                'Each needs "labels": ["__casual__"] or another level, and a "rule" if flagged.',
            )
    return made, left_out


def _need(wanted: Wanted) -> str:
    return " and, if flagged, a rule" if wanted.need_rule else ""


def _example(record: Record, rule: SourceRule, wanted: Wanted) -> Example:
    (severity,) = record.levels
    weight = rule.weight * record.row.weight
    if len(record.text.split()) < rule.short_words:
        weight *= rule.short_weight
    rules = record.rules[: wanted.most_rules]
    return Example(
        tuple(wanted.family.prompt(shortened(record.messages))),
        tuple(wanted.family.target(severity, rules)),
        weight,
        severity,
        record.rules,
        record.row.source,
    )
