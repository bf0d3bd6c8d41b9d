"""Rows of figures as an aligned table, and the statistics they are made of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its goal."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    goal: str = ""


def print_table(title: str, rows: Sequence[Row]) -> None:
    cells = [
        ("", "ours", "peer", "ratio", "goal"),
        *((row.what, row.ours, row.peer, row.ratio, row.goal) for row in rows),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    print(f"\n{title}")
    for line in cells:
        shown = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  " + "  ".join(shown).rstrip())


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share (0 to 1) of the values does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
