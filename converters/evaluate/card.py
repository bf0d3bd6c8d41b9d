"""A model card in the hub's format, with `EvalResult` entries and what the numbers do not say.

Format: https://huggingface.co/docs/hub/model-cards (YAML front matter, then Markdown).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from converters.evaluate.report import ModelReport, SetReport
from converters.evaluate.tables import (
    Grid,
    confusion_grid,
    guard_grids,
    per_level_grid,
    slice_grid,
)
from converters.extras import require
from oa_chat.printable import printable

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_ALT = {
    "precision_recall.png": "Precision and recall",
    "thresholds.png": "Threshold sweep",
    "reliability.png": "Reliability",
    "confusion.png": "Confusion",
}
_INTRODUCTION = (
    "Gives a message one of five levels of severity, from casual to needs intervention."
    " Measured by `oa-chat evaluate`; what each number means: docs/evaluate.md."
)
_MANY_FALSE_ALARMS = 0.2
_FEW = 200


def model_card(report: ModelReport, plots: Sequence[str], limit: int) -> str:
    """The card's text. Raises UsageError without huggingface_hub."""
    require("train", "huggingface_hub")
    from huggingface_hub import ModelCard, ModelCardData

    results = [result for one in report.sets for result in _results(one)]
    licence = dict(report.info.description).get("license", "")
    data = ModelCardData(
        model_name=printable(report.info.name),
        license=licence or None,
        tags=["guardrail", "safety", "oa-chat"],
        pipeline_tag="text-classification",
        eval_results=results,
    )
    text = f"---\n{data.to_yaml(line_break=chr(10))}\n---\n\n{_body(report, plots, limit)}"
    return str(ModelCard(text))


def _results(one: SetReport) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    wanted = [
        ("f1", "F1, flagged or not", one.flag["f1"]),
        ("recall", "Recall of the flag", one.flag["recall"]),
        ("false_alarm_rate", "False alarm rate of the flag", one.flag["false_alarm_rate"]),
        ("average_precision", "AUPRC of 1 - p(casual)", one.some_harm["auprc"]),
    ]
    if one.levels:
        wanted += [
            ("accuracy", "Accuracy of the five levels", one.levels.figures["accuracy"]),
            ("macro_f1", "Macro-F1 of the five levels", one.levels.figures["macro_f1"]),
        ]
    return [
        EvalResult(
            task_type="text-classification",
            dataset_type=printable(one.data.name),
            dataset_name=printable(one.data.name),
            metric_type=kind,
            metric_name=name,
            metric_value=round(figure.value, 4),
        )
        for kind, name, figure in wanted
        if figure.value is not None
    ]


def _body(report: ModelReport, plots: Sequence[str], limit: int) -> str:
    info = report.info
    grids: list[Grid] = guard_grids([report])
    for one in report.sets:
        more = (per_level_grid(one), confusion_grid(one), slice_grid(one))
        grids += [grid for grid in more if grid is not None]
    parts = [
        f"# {_plain(info.name)}",
        _INTRODUCTION,
        _facts(report).markdown(),
        *(f"## {_plain(grid.title)}\n\n{grid.markdown()}" for grid in grids),
    ]
    if plots:
        parts.append("## Plots\n\n" + "\n\n".join(f"![{_ALT[p]}](plots/{p})" for p in plots))
    parts.append("## Data\n\n" + _data(report).markdown())
    parts.append("## Limits\n\n" + "\n".join(f"* {line}" for line in limits(report, limit)))
    return "\n\n".join(parts) + "\n"


def _facts(report: ModelReport) -> Grid:
    info = report.info
    rows = [
        ("kind", f"{info.kind}, family {info.family}"),
        ("size", f"{info.size_bytes:,} bytes"),
        ("sha256", info.sha256),
        *info.description,
    ]
    if info.flag_below:
        rows.append(("own threshold", f"flagged if p(casual) is below {info.flag_below:g}"))
    return Grid("Facts", ("", ""), tuple(rows))


def _data(report: ModelReport) -> Grid:
    rows = tuple(
        (one.data.name, f"{len(one.data.samples)} of {one.data.rows}", one.data.sha256)
        for one in report.sets
    )
    return Grid("Data", ("set", "rows used", "sha256"), rows)


def limits(report: ModelReport, limit: int) -> list[str]:
    """What a reader has to know before trusting the numbers."""
    lines = []
    if limit:
        lines.append(f"Only {limit} rows of each set were used: the intervals are wide.")
    for one in report.sets:
        name = _plain(one.data.name)
        rate = one.flag["false_alarm_rate"].value
        if rate is not None and rate >= _MANY_FALSE_ALARMS:
            lines.append(f"{name}: {rate:.0%} of the harmless messages are flagged.")
        recall = one.flag["recall"].value
        if recall is not None and recall < 1:
            lines.append(f"{name}: {1 - recall:.0%} of the harmful messages are not flagged.")
        if one.unreadable:
            lines.append(
                f"{name}: {one.unreadable} answers could not be read. They count as flagged,"
                " which makes the recall look better than the guard is."
            )
        if 0 < len(one.data.samples) < _FEW and not limit:
            lines.append(f"{name} has {len(one.data.samples)} rows: differences of a few are luck.")
    languages = sorted({s.lang for one in report.sets for s in one.data.samples if s.lang})
    spoken = ", ".join(map(_plain, languages)) or "not stated"
    lines.append(f"Languages of the sets: {spoken}. Nothing is known about others.")
    if report.temperature is None:
        lines.append("No dev file was given, so no temperature was fitted.")
    lines.append(
        "No test set was used for a threshold or a temperature here. If a model was chosen or a"
        " recipe changed after looking at these sets, the numbers are optimistic all the same."
    )
    lines.append("A guard is an aid and no guarantee of safety.")
    return lines


def _plain(text: str) -> str:
    shown = printable(" ".join(text.split()))
    for mark in ("\\", "|", "<", ">", "`", "*", "_", "[", "]"):
        shown = shown.replace(mark, f"\\{mark}")
    return shown
