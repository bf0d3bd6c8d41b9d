"""The reports as tables: for the terminal (rich) and for cards (Markdown). Chooses no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.evaluate.intervals import Figure, Figures
from converters.evaluate.latency import Latency
from converters.evaluate.report import ModelReport, SetReport
from oa_chat.printable import printable
from oa_chat.verdict import Severity

if TYPE_CHECKING:
    from rich.console import Console

NONE = "–"
_FEWEST = 10
"""Rows of a slice that a card shows; results.json has all."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table in plain text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown; what cells hold cannot become markup."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        text = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
        return f"{text}\n\n{self.note}" if self.note else text

    def show(self, console: Console) -> None:
        """The table on a terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table

        table = Table(
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            title=escape(printable(self.title)),
            title_justify="left",
            caption=escape(printable(self.note)) or None,
            caption_justify="left",
        )
        for at, name in enumerate(self.head):
            table.add_column(escape(printable(name)), justify="left" if at == 0 else "right")
        for row in self.rows:
            table.add_row(*(escape(printable(cell)) for cell in row))
        console.print(table)


def number(figure: Figure | None, *, interval: bool = False, digits: int = 3) -> str:
    """A figure for a cell, with its 95 % interval if wanted; a dash if it is undefined."""
    if figure is None or figure.value is None:
        return NONE
    text = f"{figure.value:.{digits}f}"
    if interval and figure.low is not None and figure.high is not None:
        text += f" ({figure.low:.2f}-{figure.high:.2f})"
    return text


def level_grid(models: Sequence[ModelReport]) -> Grid | None:
    """The five levels: one row a model and set."""
    rows = []
    for model, one in _pairs(models):
        if one.levels is None:
            continue
        got = one.levels.figures
        rows.append(
            (
                _name(models, model, one),
                str(one.levels.rows),
                number(got["accuracy"], interval=True),
                number(got["macro_f1"], interval=True),
                number(got["mean_absolute_error"]),
                number(got["within_one"]),
                number(got["expected_ordinal_error"]),
            )
        )
    head = ("", "rows", "accuracy", "macro-F1", "MAE", "within 1", "exp. error")
    return Grid("Five levels", head, tuple(rows)) if rows else None


def flag_grid(models: Sequence[ModelReport]) -> Grid | None:
    """Flagged or not: one row a model and set."""
    rows = []
    for model, one in _pairs(models):
        if not one.harmful + one.harmless:
            continue
        rows.append(_flag_row(_name(models, model, one), one, one.flag))
        if one.own:
            rows.append(_flag_row("  by its own thresholds", one, one.own))
    head = ("", "rows", "harmful", "F1", "precision", "recall", "false alarms", "unreadable")
    note = "Flagged: the most probable level is not casual. False alarms: flagged of the harmless."
    return Grid("Flagged or not", head, tuple(rows), note) if rows else None


def _flag_row(name: str, one: SetReport, got: Figures) -> tuple[str, ...]:
    return (
        name,
        str(one.harmful + one.harmless),
        str(one.harmful),
        number(got["f1"]),
        number(got["precision"]),
        number(got["recall"]),
        number(got["false_alarm_rate"]),
        str(one.unreadable),
    )


def rank_grid(models: Sequence[ModelReport]) -> Grid | None:
    """How well the scores part harmful and harmless messages, whatever the threshold."""
    rows = []
    for model, one in _pairs(models):
        some, grave = one.some_harm, one.grave_harm
        if some["auprc"].value is None:
            continue
        rows.append(
            (
                _name(models, model, one),
                number(some["auprc"], interval=True),
                number(grave["auprc"]),
                number(some["auroc"]),
                number(grave["auroc"]),
                number(some["false_alarms_at_recall_95"]),
                number(some["recall_at_false_alarms_1"]),
            )
        )
    head = ("", "AUPRC", "harm", "AUROC", "harm", "FA at R 95%", "R at FA 1%")
    note = (
        "Score: 1 - p(casual); harm: p(needs caution) + p(needs intervention)."
        " FA: false alarm rate, R: recall."
    )
    return Grid("Ranking", head, tuple(rows), note) if rows else None


def calibration_grid(models: Sequence[ModelReport]) -> Grid | None:
    """ECE and Brier of levels and flags, before and after the temperature."""
    rows = []
    for model, one in _pairs(models):
        seen = one.calibration
        if not seen:
            continue
        cells = [
            _before_after(seen, what, name)
            for what in ("levels", "flag")
            for name in ("ece", "brier")
        ]
        rows.append((_name(models, model, one), *cells))
    head = ("", "ECE levels", "Brier levels", "ECE flag", "Brier flag")
    return Grid("Calibration", head, tuple(rows), _temperatures(models)) if rows else None


def benign_grid(models: Sequence[ModelReport]) -> Grid | None:
    """False alarms on harmless messages that look harmful, with intervals."""
    rows = []
    for model, one in _pairs(models):
        if one.benign and one.harmless:
            rate = number(one.flag["false_alarm_rate"], interval=True)
            rows.append((_name(models, model, one), str(one.harmless), rate))
    head = ("", "harmless", "false alarm rate")
    return Grid("Harmless messages that look harmful", head, tuple(rows)) if rows else None


def per_level_grid(one: SetReport) -> Grid | None:
    """Precision, recall and F1 of each level."""
    if one.levels is None:
        return None
    rows = [
        (
            Severity.from_label(label).words,
            str(one.levels.support[label]),
            *(number(got[name], interval=True) for name in ("precision", "recall", "f1")),
        )
        for label, got in one.levels.per_level.items()
    ]
    head = ("level", "rows", "precision", "recall", "F1")
    return Grid(f"Levels of {one.data.name}", head, tuple(rows))


def confusion_grid(one: SetReport) -> Grid | None:
    """Rows: true level; columns: given level."""
    if one.levels is None:
        return None
    names = [level.words for level in Severity]
    rows = tuple(
        (name, *map(str, counts)) for name, counts in zip(names, one.levels.confusion, strict=True)
    )
    return Grid(f"Confusion on {one.data.name}", ("true \\ given", *names, "unreadable"), rows)


def slice_grid(one: SetReport) -> Grid | None:
    """The slices of a set."""
    rows = tuple(
        (
            f"{part.by}: {part.value}",
            str(part.rows),
            str(part.harmful),
            _share(part.recall),
            _share(part.false_alarm_rate),
            _share(part.accuracy),
        )
        for part in one.slices
        if part.rows >= _FEWEST
    )
    head = ("slice", "rows", "harmful", "recall", "false alarms", "level accuracy")
    return Grid(f"Parts of {one.data.name}", head, rows) if rows else None


def latency_grid(times: Sequence[tuple[str, Latency]]) -> Grid | None:
    """Times of each model."""
    rows = tuple(
        (
            name,
            str(one.messages),
            f"{one.p50_ms:.1f} ms",
            f"{one.p95_ms:.1f} ms",
            f"{one.per_second:.0f}/s",
        )
        for name, one in times
    )
    head = ("", "messages", "p50", "p95", "in batches")
    note = "One message at a time; measured on this machine, under whatever else it does."
    return Grid("Time", head, rows, note) if rows else None


def guard_grids(models: Sequence[ModelReport]) -> list[Grid]:
    """What the terminal and the comparison show."""
    grids = (
        level_grid(models),
        flag_grid(models),
        benign_grid(models),
        rank_grid(models),
        calibration_grid(models),
    )
    return [grid for grid in grids if grid is not None]


def _pairs(models: Sequence[ModelReport]) -> list[tuple[ModelReport, SetReport]]:
    """Set by set, so that models stand one below the other."""
    names = [one.data.name for one in models[0].sets]
    return [(model, model.sets[at]) for at in range(len(names)) for model in models]


def _name(models: Sequence[ModelReport], model: ModelReport, one: SetReport) -> str:
    return one.data.name if len(models) == 1 else f"{one.data.name}: {model.info.name}"


def _before_after(seen: dict[str, Figures], what: str, name: str) -> str:
    before = seen.get(what)
    after = seen.get(f"{what} after")
    text = number(before[name] if before else None)
    return f"{text} > {number(after[name])}" if after else text


def _temperatures(models: Sequence[ModelReport]) -> str:
    known = [(model.info.name, model.temperature) for model in models if model.temperature]
    if not known:
        return "No temperature was fitted (name dev files with --dev)."
    parts = [
        f"{name}: {one.value:.3f}, fitted on {one.rows:,} rows of {', '.join(one.sets)}"
        for name, one in known
    ]
    return "ECE and Brier before > after the temperature. " + "; ".join(parts) + "."


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    shown = printable(" ".join(text.split()))
    for mark in ("\\", "|", "<", ">", "`", "*", "_", "[", "]"):
        shown = shown.replace(mark, f"\\{mark}")
    return shown
