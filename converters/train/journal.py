"""What a training tells: a line or a bar on standard error, TensorBoard, a file, a plot.

Only the first process tells. ``history.jsonl`` has a line for each step (loss, rate) and for each
evaluation; it is what the plot and the tests read. It does not decide anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from converters.provenance import replacing

HISTORY = "history.jsonl"
_SMOOTHING = 0.05
_SECONDS = 10.0
"""Between two lines where standard error is no terminal."""


class Journal:
    """The record of one training. Use as a context manager."""

    def __init__(self, out: Path, total: int, *, tensorboard: bool, first: int) -> None:
        """`first` is the step to go on from: later entries of an earlier run are dropped."""
        self._path = out / HISTORY
        self._total = total
        kept = [row for row in read_history(out) if row["step"] <= first]
        self._rows: list[dict[str, Any]] = kept
        self._writer = _writer(out) if tensorboard else None
        self._bar = _Bar(total, first) if sys.stderr.isatty() else None
        self._lines = _Lines(total, first)

    def __enter__(self) -> Journal:
        """Begin to tell."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what was kept back."""
        self.flush()
        if self._bar:
            self._bar.close()
        if self._writer:
            self._writer.close()

    def steps(self, first: int, losses: Sequence[float], rates: Sequence[float]) -> None:
        """Some steps, numbered from `first`."""
        for number, (loss, rate) in enumerate(zip(losses, rates, strict=True), start=first):
            self._rows.append({"step": number, "loss": loss, "rate": rate})
            if self._writer:
                self._writer.add_scalar("loss", loss, number)
                self._writer.add_scalar("rate", rate, number)
        last = first + len(losses) - 1
        mean = sum(losses) / len(losses)
        text = f"loss {mean:.4f}, rate {rates[-1]:.2e}"
        if self._bar:
            self._bar.show(last, text)
        else:
            self._lines.show(last, text)

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """An evaluation."""
        self._rows.append({"step": step, "metrics": dict(metrics)})
        if self._writer:
            for name, value in metrics.items():
                self._writer.add_scalar(f"dev/{name}", value, step)
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.say(f"step {step}: {numbers}{' (best so far)' if best else ''}")

    def say(self, text: str) -> None:
        """A line."""
        if self._bar:
            self._bar.say(text)
        else:
            click.echo(text, err=True)

    def flush(self) -> None:
        """Write the history file."""
        encoder = msgspec.json.Encoder()
        with replacing(self._path) as part:
            part.write_bytes(encoder.encode_lines(self._rows))


def read_history(out: Path) -> list[dict[str, Any]]:
    """The lines of ``history.jsonl``; none without the file."""
    path = out / HISTORY
    if not path.exists():
        return []
    return msgspec.json.Decoder(dict[str, Any]).decode_lines(path.read_bytes())


def plot(out: Path) -> None:
    """Draw ``loss.png``: the losses, a running mean, and the score on the dev files."""
    from converters.extras import require

    require("train", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_history(out)
    losses = [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if losses:
        steps, values = zip(*losses, strict=True)
        axes.plot(steps, values, color="#b0b8c4", linewidth=0.6)
        axes.plot(steps, _smoothed(values), color="#1f4e9c", label="loss (running mean)")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    scores = [(row["step"], row["metrics"]["score"]) for row in rows if "metrics" in row]
    if scores:
        right = axes.twinx()
        right.plot(*zip(*scores, strict=True), "o-", color="#c0562b", label="score on dev")
        right.set_ylabel("score on the dev files")
        right.legend(loc="lower right")
    if losses:
        axes.legend(loc="upper right")
    with replacing(out / "loss.png") as part:
        figure.savefig(part, format="png", dpi=100, metadata={"Software": None})


def _smoothed(values: Sequence[float]) -> list[float]:
    mean, out = values[0], []
    for value in values:
        mean += _SMOOTHING * (value - mean)
        out.append(mean)
    return out


def _writer(out: Path) -> Any:
    from converters.extras import require

    require("train", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out / "logs"))


class _Bar:
    """A bar that is drawn over."""

    def __init__(self, total: int, first: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("starting", total=total, completed=first)
        self._progress.start()

    def show(self, step: int, text: str) -> None:
        self._progress.update(self._task, completed=step, description=text)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    """A line now and then."""

    def __init__(self, total: int, first: int) -> None:
        self._total = total
        self._first = first
        self._started = time.monotonic()
        self._told = 0.0

    def show(self, step: int, text: str) -> None:
        now = time.monotonic()
        if now - self._told < _SECONDS and step < self._total:
            return
        self._told = now
        speed = (step - self._first) / max(now - self._started, 1e-6)
        left = (self._total - step) / speed if speed else 0
        click.echo(
            f"step {step}/{self._total}: {text}, {speed:.2f} steps/s, {left:.0f} s left", err=True
        )
