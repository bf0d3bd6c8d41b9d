"""Records as a classifier learns them: target, weight, passage, and an unrelated context at times.

A record with one level learns that level, softened towards its neighbours as its source's rule
says; with several, only that it is one of them; with five numbers in the column ``target``, those
(the probabilities of another model). Nothing here knows tokens or tensors.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from converters.errors import DataError
from converters.records import Record, record_of
from converters.rows import read_rows
from oa_chat.conversation import Message
from oa_chat.engine.protocol import Passage
from oa_chat.guards.classifier import Classifier
from oa_chat.guards.windows import shortened
from oa_chat.verdict import LABELS, Severity

FAMILY = Classifier(tuple(range(len(LABELS))))
"""How the app asks: the model's labels are in the order of severity."""


class SourceRule(msgspec.Struct, frozen=True, kw_only=True):
    """``[[data.source]]``: how the records of some sources count. The first that fits is used."""

    name: str = "*"
    """Of the record's source; ``*`` stands for anything."""
    kind: str = "*"
    """Of the record's kind."""
    weight: float = 1.0
    repeat: float = 1.0
    """How often each record comes in an epoch; 0 leaves them out, 0.5 takes half of them."""
    mass: float = 1.0
    """The share of the target on the level that was given; the rest is on its neighbours."""
    short_words: int = 0
    """A message of fewer words counts `short_weight` times as much."""
    short_weight: float = 1.0
    partial_weight: float = 1.0
    """A record with several levels counts so many times as much."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if min(self.weight, self.repeat, self.short_weight, self.partial_weight) < 0:
            raise ValueError("weights and repeat must not be below 0")
        if not 0 < self.mass <= 1:
            raise ValueError("mass must be above 0 and at most 1")

    def fits(self, record: Record) -> bool:
        """Whether the rule is for this record."""
        row = record.row
        return fnmatchcase(row.source, self.name) and fnmatchcase(row.kind, self.kind)


@dataclass(frozen=True, slots=True)
class Row:
    """A record to learn."""

    passage: Passage
    target: tuple[float, ...]
    """What the probabilities should be; or, if `partial`, 1 for each level that may be right."""
    partial: bool
    weight: float
    source: str
    levels: frozenset[Severity]
    flagged: bool | None
    """Whether it is surely not casual; None if both may be."""


@dataclass(frozen=True, slots=True)
class Read:
    """The records of some files."""

    rows: Sequence[Row]
    unlabelled: int
    unused: Sequence[str] = ()
    """Rules that no record met first."""


def read_guard_rows(
    files: Iterable[Path], rules: Sequence[SourceRule], skip: Sequence[str], seed: int
) -> Read:
    """The labelled records, as often as their rules say. Raises DataError for a file of none."""
    rows: list[Row] = []
    unlabelled = 0
    used: set[SourceRule] = set()
    for path in files:
        labelled = 0
        for number, raw in read_rows(path):
            place = f"{path}, line {number}"
            record = record_of(raw, place)
            if any(fnmatchcase(record.row.source, name) for name in skip):
                continue
            given = _given(raw.get("target"), place)
            if not (record.levels or given):
                unlabelled += 1
                continue
            labelled += 1
            rule = next((rule for rule in rules if rule.fits(record)), SourceRule())
            used.add(rule)
            chance = random.Random(f"{seed}/{path.name}/{number}")  # noqa: S311 - no secret
            times = int(rule.repeat) + (chance.random() < rule.repeat % 1)
            rows += [_row(record, rule, given)] * times
        if not labelled:
            raise DataError(
                f"{path} has no record with a label.",
                'Each needs "labels": [...] with one or more of the five levels.',
            )
    unused = [f"{rule.name} (kind {rule.kind})" for rule in rules if rule not in used]
    return Read(rows, unlabelled, unused)


def _given(value: object, place: str) -> tuple[float, ...]:
    if value is None:
        return ()
    try:
        given = msgspec.convert(value, tuple[float, float, float, float, float])
    except msgspec.ValidationError as error:
        raise DataError(f"{place}: target is not five numbers: {error}.") from error
    if min(given) < 0 or abs(sum(given) - 1) > 0.01:
        raise DataError(f"{place}: the five numbers of target are no probabilities.")
    return given


def _row(record: Record, rule: SourceRule, given: tuple[float, ...]) -> Row:
    levels = record.levels
    partial = len(levels) > 1 and not given
    weight = rule.weight * record.row.weight
    if partial:
        weight *= rule.partial_weight
    if len(record.text.split()) < rule.short_words:
        weight *= rule.short_weight
    flagged = None if Severity.CASUAL in levels and partial else Severity.CASUAL not in levels
    if given:
        target = given
        flagged = given[0] < 0.5
    elif partial:
        target = tuple(float(Severity(level) in levels) for level in range(len(LABELS)))
    else:
        target = softened(next(iter(levels)), rule.mass)
    passage = FAMILY.prompt(shortened(record.messages))
    return Row(passage, target, partial, weight, record.row.source, levels, flagged)


def softened(level: Severity, mass: float) -> tuple[float, ...]:
    """`mass` on the level, the rest in equal parts on the levels next to it."""
    near = [other for other in (level - 1, level + 1) if 0 <= other < len(LABELS)]
    target = [0.0] * len(LABELS)
    target[level] = mass
    for other in near:
        target[other] = (1 - mass) / len(near)
    return tuple(target)


class ContextSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[context]``: unrelated earlier exchanges, so that the newest message is what counts."""

    share: float = 0.0
    """Of the records without a context of their own."""
    exchanges: list[str] = []
    """Files of conversations (``messages`` with ``role`` and ``content``): their first exchanges
    are the harmless ones."""
    refused: float = 0.5
    """The share of exchanges that are a harmful message of the training data and a refusal."""
    refusals: list[str] = []
    """What the assistant says then; empty for no such exchanges."""


class _Conversation(msgspec.Struct):
    messages: list[Mapping[str, str]]


_MOST_EXCHANGES = 4000


def exchanges(settings: ContextSettings, files: Iterable[Path], rows: Sequence[Row]) -> list[str]:
    """Contexts to choose from, as the app writes them; in the wanted proportion."""
    if not settings.share:
        return []
    harmless = [context for path in files for context in _first_exchanges(path)]
    harmful = [
        FAMILY.prompt(
            [Message("user", row.passage.text), Message("assistant", refusal), Message("user", "")]
        ).context
        for number, row in enumerate(rows)
        if settings.refusals and min(row.levels, default=0) >= Severity.CAUTION
        for refusal in [settings.refusals[number % len(settings.refusals)]]
    ]
    if not harmless and not harmful:
        raise DataError(
            "[context] has a share, but there are no exchanges to take.",
            "Name context.exchanges files or context.refusals.",
        )
    chance = random.Random("exchanges")  # noqa: S311 - no secret
    share = settings.refused if harmless and harmful else float(not harmless)
    return [
        chance.choice(harmful if chance.random() < share else harmless)
        for _ in range(_MOST_EXCHANGES)
    ]


def _first_exchanges(path: Path) -> list[str]:
    made = []
    for number, raw in read_rows(path):
        try:
            talk = msgspec.convert(raw, _Conversation)
            first, second = talk.messages[:2]
            spoken = [Message("user", first["content"]), Message("assistant", second["content"])]
        except (msgspec.ValidationError, ValueError, KeyError) as error:
            raise DataError(f"{path}, line {number}: no conversation: {error}.") from error
        made.append(FAMILY.prompt([*spoken, Message("user", "")]).context)
    return made
