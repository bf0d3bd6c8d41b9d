"""The plots of a report, as PNG files in one look. Draws what it is given and computes curves only.

Colours: the palette of Okabe and Ito, which people with any colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.evaluate.calibration import flag_confidences, level_confidences, reliability
from converters.evaluate.metrics import curve
from converters.evaluate.report import ModelReport, SetReport
from converters.extras import require
from converters.provenance import replacing
from oa_chat.printable import printable
from oa_chat.verdict import Severity

if TYPE_CHECKING:
    from converters.evaluate.arrays import Bools, Floats

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_GREY = "#666666"
_LOOK = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,
}
_COLUMNS = 3


def write_plots(report: ModelReport, folder: Path) -> list[str]:
    """Draw what the report has data for; the file names. Raises UsageError without matplotlib."""
    require("train", "matplotlib")
    import matplotlib as mpl

    found = []
    with mpl.rc_context(_LOOK):
        for name, draw in (
            ("precision_recall.png", _precision_recall),
            ("thresholds.png", _thresholds),
            ("reliability.png", _reliability),
            ("confusion.png", _confusion),
        ):
            if draw(report, folder / name):
                found.append(name)
    return found


def _scored(report: ModelReport) -> list[tuple[SetReport, Floats, Bools]]:
    """(set, 1 - p(casual), unsafe) of the sets with harmful and harmless messages."""
    found = []
    for one in report.sets:
        score = one.outcome.some_harm()
        known = one.outcome.unsafe >= 0
        if score is not None and one.harmful and one.harmless:
            found.append((one, score[known], one.outcome.unsafe[known] == 1))
    return found


def _precision_recall(report: ModelReport, path: Path) -> bool:
    scored = _scored(report)
    if not scored:
        return False
    with _figure(path, 1, (7.6, 5.2)) as (figure, axes):
        (axis,) = axes
        for at, (one, score, unsafe) in enumerate(scored):
            _, precision, recall, _ = curve(score, unsafe)
            colour, dash = _style(at)
            auprc = one.some_harm["auprc"].value or 0.0
            name = f"{_short(one.data.name)} ({auprc:.2f}, {unsafe.mean():.0%} harmful)"
            axis.plot(recall, precision, color=colour, linestyle=dash, label=name, linewidth=1.6)
            at_rule = one.flag["recall"].value, one.flag["precision"].value
            if None not in at_rule:
                axis.plot(*at_rule, "o", color=colour, markersize=6, markeredgecolor="white")
        axis.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axis.set_title("Precision and recall of 1 − p(casual); dots: as flagged")
        figure.legend(
            *axis.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=2,
            title="set (AUPRC, share of harmful messages)",
            fontsize=9,
            title_fontsize=9,
        )
    return True


def _thresholds(report: ModelReport, path: Path) -> bool:
    scored = _scored(report)
    if not scored:
        return False
    with _figure(path, len(scored)) as (figure, axes):
        for axis, (one, score, unsafe) in zip(axes, scored, strict=True):
            threshold, precision, recall, alarms = curve(score, unsafe)
            total = precision + recall
            f1 = 2 * precision * recall / total.clip(1e-12)
            for values, name, at in ((recall, "recall", 0), (alarms, "false alarm rate", 1)):
                axis.plot(threshold, values, color=_COLOURS[at], linestyle=_DASHES[at], label=name)
            axis.plot(threshold, f1, color=_COLOURS[2], linestyle=_DASHES[3], label="F1")
            axis.set(xlim=(0, 1), ylim=(0, 1.02), title=_short(one.data.name))
        figure.supxlabel("flag when 1 − p(casual) is at least", fontsize=10)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return True


def _reliability(report: ModelReport, path: Path) -> bool:
    panels = []
    after = report.temperature.value if report.temperature else None
    for one in report.sets:
        levels = level_confidences(one.outcome)
        if levels is not None and one.data.name and one.levels:
            later = level_confidences(one.outcome, after) if after else None
            panels.append((f"{_short(one.data.name)}: level", levels, later))
        flag = flag_confidences(one.outcome)
        if flag is not None and one.harmful and one.harmless:
            later = flag_confidences(one.outcome, after) if after else None
            panels.append((f"{_short(one.data.name)}: flag", flag, later))
    if not panels:
        return False
    with _figure(path, len(panels)) as (figure, axes):
        for axis, (title, before, later) in zip(axes, panels, strict=True):
            axis.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
            for seen, name, at in ((before, "before", 0), (later, "after the temperature", 1)):
                if seen is None:
                    continue
                bins = reliability(seen)
                claimed, right, rows = zip(*bins, strict=True)
                sizes = [12 + 90 * count / sum(rows) for count in rows]
                style = {"color": _COLOURS[at], "label": name}
                axis.plot(claimed, right, linewidth=1.2, linestyle=_DASHES[at], **style)
                axis.scatter(claimed, right, s=sizes, color=_COLOURS[at], zorder=3)
            axis.set(xlim=(0, 1.02), ylim=(0, 1.02), title=title)
        figure.supxlabel("what the guard claims (15 bins; larger dots: more rows)", fontsize=10)
        figure.supylabel("share that was so", fontsize=10)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return True


def _confusion(report: ModelReport, path: Path) -> bool:
    import numpy as np

    known = [(one, one.levels) for one in report.sets if one.levels is not None]
    if not known:
        return False
    names = ["\n".join(level.words.rsplit(" ", 1 if level > 2 else 2)) for level in Severity]
    with _figure(path, len(known), (6.6, 5.4), columns=1) as (_, axes):
        for axis, (one, levels) in zip(axes, known, strict=True):
            counts = np.array(levels.confusion)
            unread = counts[:, -1].any()
            shown = counts if unread else counts[:, :-1]
            share = shown / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            for row, column in np.ndindex(*shown.shape):
                text = f"{shown[row, column]}\n{share[row, column]:.0%}"
                colour = "white" if share[row, column] > 0.55 else "black"
                axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
            columns = [*names, "unreadable"] if unread else names
            axis.set_xticks(range(len(columns)), columns, fontsize=8)
            axis.set_yticks(range(len(names)), names, fontsize=8)
            axis.grid(visible=False)
            axis.set(xlabel="given level", ylabel="true level")
            axis.set_title(f"{_short(one.data.name)}: messages, and share of the true level")
    return True


@contextmanager
def _figure(
    path: Path, panels: int, size: tuple[float, float] = (3.4, 3.0), columns: int = _COLUMNS
) -> Iterator[tuple[Any, Sequence[Any]]]:
    """A figure with so many panels of that size in inches; it is saved when the block ends well."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = min(panels, columns)
    down = -(-panels // across)
    layout = ConstrainedLayoutEngine(h_pad=0.09)
    figure = Figure(figsize=(size[0] * across, size[1] * down + 0.5), layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for spare in grid[panels:]:
        spare.set_axis_off()
    yield figure, list(grid[:panels])
    with replacing(path) as part:
        # Without the program's name and version, the same numbers give the same file.
        figure.savefig(part, format="png", metadata={"Software": None})


def _style(at: int) -> tuple[str, str]:
    return _COLOURS[at % len(_COLOURS)], _DASHES[at // len(_COLOURS) % len(_DASHES)]


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= 30 else shown[:29] + "…"
