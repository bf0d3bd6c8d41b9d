"""The labelled files that guards are measured on: read, checked and named.

A set is read whole (the packs have thousands of rows, not millions). Whether a message should be
flagged is the row's `unsafe`; where that is missing it follows from the levels, if they agree.
This module asks no guard and computes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import DataError
from converters.provenance import sha256_of
from converters.records import Record, read_records
from oa_chat.conversation import Message
from oa_chat.errors import UsageError
from oa_chat.verdict import Severity

GUARD_PACKS = (
    "prosocial_test_995",
    "openai_moderation",
    "hatecheck",
    "jailbreakbench_200",
    "simple_safety_tests",
    "convabuse_test",
)
RULE_PACKS = ("moral_stories_test_rules",)
"""The project's evaluation files by name: ``NAME.jsonl.gz``."""
BENIGN_PACKS = ("jailbreakbench_200", "hatecheck", "xstest")
"""Sets whose harmless half was written to look harmful: false alarms there are over-refusal."""
_ENDING = ".jsonl.gz"
_PLACES = ("", "eval", "guard/eval", "data/guard/eval")


@dataclass(frozen=True, slots=True)
class Sample:
    """One message to judge, and what is known about it."""

    number: int
    """Its place in the file, from 0: stable under ``--limit``."""
    messages: tuple[Message, ...]
    levels: frozenset[Severity]
    """The levels that may be right; empty if the file says nothing."""
    unsafe: bool | None
    """Whether it should be flagged; None if the file leaves that open."""
    category: str
    lang: str
    source: str
    rules: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The message."""
        return self.messages[-1].text

    @property
    def text_hash(self) -> str:
        """SHA-256 of the message: names a row without showing what it says."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A file of labelled messages."""

    name: str
    path: Path
    sha256: str
    samples: tuple[Sample, ...]
    """The rows in use: all of them, or those that ``--limit`` left."""
    rows: int
    """How many the file has."""

    @property
    def has_levels(self) -> bool:
        """Whether any row says its level."""
        return any(sample.levels for sample in self.samples)

    @property
    def has_flags(self) -> bool:
        """Whether any row says if it should be flagged."""
        return any(sample.unsafe is not None for sample in self.samples)


def named_files(options: Sequence[str], flag: str) -> list[tuple[str, Path]]:
    """The pairs of ``NAME=FILE``. Raises UsageError for anything else and for a name said twice."""
    found: dict[str, Path] = {}
    for option in options:
        name, mark, file = option.partition("=")
        name = name.strip()
        if not mark or not name or not file.strip():
            raise UsageError(
                f"{flag} {option!r} is not of the form NAME=FILE.",
                f"For example: {flag} mine=messages.jsonl",
            )
        if "/" in name or "\\" in name or name.startswith("."):
            raise UsageError(f"{flag}: {name!r} cannot be a name.", "Use letters and digits.")
        if name in found:
            raise UsageError(f"{flag}: the name {name!r} is given twice.", "Choose another.")
        found[name] = Path(file.strip()).expanduser()
    return list(found.items())


def pack_files(folder: Path, names: Sequence[str]) -> list[tuple[str, Path]]:
    """Those of the project's packs that lie in a folder. Raises UsageError if there are none."""
    found = []
    for name in names:
        places = [folder / place / f"{name}{_ENDING}" for place in _PLACES]
        path = next((path for path in places if path.is_file()), None)
        if path is not None:
            found.append((name, path))
    if not found:
        raise UsageError(
            f"{folder} holds none of the known packs.",
            f"Looked for {', '.join(name + _ENDING for name in names)}. Name files with --set.",
        )
    return found


def read_set(name: str, path: Path, limit: int = 0, *, rules: bool = False) -> LabelledSet:
    """A set; with a `limit`, the rows whose texts have the smallest hashes (an even choice).

    `rules` keeps the rows with a gold rule only. Raises DataError for a file that cannot be read,
    is empty or has nothing to compare with.
    """
    if not path.is_file():
        raise DataError(f"The set {name}: there is no file {path}.", "Check the path.")
    everything = tuple(_sample(at, record) for at, record in enumerate(read_records(path)))
    if not everything:
        raise DataError(f"The set {name} ({path}) is empty.", "Name a file with rows.")
    samples = tuple(sample for sample in everything if sample.rules) if rules else everything
    if limit and len(samples) > limit:
        chosen = sorted(samples, key=lambda sample: (sample.text_hash, sample.number))[:limit]
        samples = tuple(sorted(chosen, key=lambda sample: sample.number))
    found = LabelledSet(name, path, sha256_of(path), samples, len(everything))
    if rules and not samples:
        raise DataError(f"The set {name} ({path}) has no rules.", 'A column "rule" is needed.')
    if not rules and not (found.has_levels or found.has_flags):
        raise DataError(
            f"The set {name} ({path}) has no labels.",
            'A column "label" or "labels" (a level) or "unsafe" (true or false) is needed.',
        )
    return found


def refuse_shared(tests: Sequence[LabelledSet], devs: Sequence[LabelledSet]) -> None:
    """Raise UsageError if a file is to be fitted on and reported on."""
    for dev in devs:
        for test in tests:
            if dev.sha256 == test.sha256:
                raise UsageError(
                    f"{dev.path} is given both as --dev {dev.name} and as --set {test.name}.",
                    "What a temperature is fitted on cannot be a test: use another file for one.",
                )


def without_texts_of(dev: LabelledSet, tests: Sequence[LabelledSet]) -> LabelledSet:
    """The dev set without the messages that a test set has as well."""
    seen = {sample.text for test in tests for sample in test.samples}
    kept = tuple(sample for sample in dev.samples if sample.text not in seen)
    return LabelledSet(dev.name, dev.path, dev.sha256, kept, dev.rows)


def _sample(number: int, record: Record) -> Sample:
    unsafe = record.row.unsafe
    if unsafe is None and record.levels:
        casual = Severity.CASUAL in record.levels
        unsafe = None if casual and len(record.levels) > 1 else not casual
    return Sample(
        number=number,
        messages=record.messages,
        levels=record.levels,
        unsafe=unsafe,
        category=record.row.category or record.row.kind,
        lang=record.row.lang,
        source=record.row.source,
        rules=record.rules,
    )
