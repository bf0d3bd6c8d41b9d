"""A record as its line of JSON: the form in which partitions and the dataset hold it."""

from __future__ import annotations

import msgspec

from converters.prepare.draft import Draft
from oa_chat.verdict import LABELS


class Turn(msgspec.Struct):
    """An earlier turn, as it is written."""

    role: str
    content: str


class OutRow(msgspec.Struct):
    """A record as it is written: the columns of `converters.records` in a fixed order."""

    id: str
    text: str
    context: list[Turn]
    labels: tuple[str, ...]
    rules: tuple[str, ...]
    lang: str
    source: str
    licence: str
    thread: str
    kind: str
    weak: bool
    score: float | None
    weight: float


_ENCODE = msgspec.json.Encoder().encode


def _out_row(draft: Draft) -> OutRow:
    return OutRow(
        draft.id,
        draft.text,
        [Turn(role, text) for role, text in draft.context],
        draft.labels,
        draft.rules,
        draft.lang,
        draft.source,
        draft.licence,
        draft.thread,
        draft.kind,
        draft.weak,
        draft.score,
        draft.weight,
    )


def line_of(draft: Draft) -> bytes:
    """A draft as its line of JSON."""
    return _ENCODE(_out_row(draft))


def draft_of(row: OutRow) -> Draft:
    """A written record as a draft once more."""
    return Draft(
        row.id,
        row.source,
        row.thread,
        row.licence,
        row.kind,
        row.text,
        [(turn.role, turn.content) for turn in row.context],
        row.labels,
        row.rules,
        lang=row.lang,
        weak=row.weak,
        score=row.score,
        weight=row.weight,
    )


def stratum_of(draft: Draft) -> str:
    """Source and levels: the records that share it are divided by the shares of the recipe."""
    levels = ",".join(str(LABELS.index(label)) for label in draft.labels)
    return f"{draft.source}|{levels}"
