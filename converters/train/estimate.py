"""The dry run: what the data is, and what the training would cost, from a few real steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import click

from converters.train.job import Job, Stage
from converters.train.machine import Machine, peak_memory
from converters.train.settings import TrainSettings

_STEPS = 3
_PERCENTILES = (50, 90, 95, 99)


def print_estimate(job: Job, settings: TrainSettings, machine: Machine) -> None:
    """Print the tables and the estimate."""
    if machine.rank == 0:
        click.echo("\n".join(_tables(job)))
    seconds = sum(stage.steps * _seconds_a_step(job, stage, machine) for stage in job.stages)
    if machine.rank:
        return
    steps = sum(stage.steps for stage in job.stages)
    parameters = sum(p.numel() for p in job.model.parameters())
    trained = sum(p.numel() for p in job.model.parameters() if p.requires_grad)
    click.echo(f"parameters  {parameters:,} ({trained:,} trained)")
    click.echo(f"device      {machine.words}")
    click.echo(f"steps       {steps:,} of {settings.batch * settings.accumulation} records")
    click.echo(
        f"memory      about {peak_memory(machine.device) / 2**30:.1f} GiB at its highest so far"
    )
    click.echo(
        f"time        about {_duration(seconds)} ({seconds / steps:.2f} s a step), without dev"
    )


def _tables(job: Job) -> list[str]:
    survey = job.survey
    labels = list(dict.fromkeys(part.label for part in survey.parts))
    counts: dict[str, Counter[str]] = {}
    for part in survey.parts:
        counts.setdefault(part.name, Counter())[part.label] += part.records
    width = max([6, *map(len, counts)])
    lines = [" ".join([f"{'source':<{width}}", f"{'all':>8}", *(f"{x:>12}" for x in labels)])]
    for name, row in counts.items():
        cells = (f"{row[label]:>12,}" for label in labels)
        lines.append(" ".join([f"{name:<{width}}", f"{sum(row.values()):>8,}", *cells]))
    lines += ["", f"records     {len(survey.lengths):,}", f"tokens      {sum(survey.lengths):,}"]
    told = ", ".join(f"{share} %: {value}" for share, value in _percentiles(survey.lengths))
    return [*lines, f"a record    {told}, longest: {max(survey.lengths)}", *survey.notes]


def _percentiles(lengths: Sequence[int]) -> list[tuple[int, int]]:
    ordered = sorted(lengths)
    return [(p, ordered[min(len(ordered) - 1, len(ordered) * p // 100)]) for p in _PERCENTILES]


def _seconds_a_step(job: Job, stage: Stage, machine: Machine) -> float:
    """The mean over steps spread over the stage; the first is a warm-up."""
    optimizers = job.optimizers()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    job.model.to(machine.device)
    job.model.train()
    taken = []
    for number in range(_STEPS + 1):
        micros = stage.batches(number * stage.steps // (_STEPS + 1), machine.rank, machine.count)
        started = time.perf_counter()
        for micro in micros:
            with machine.autocast():
                loss = job.loss(job.model, machine.moved(micro))
            loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        float(loss.detach())
        taken.append(time.perf_counter() - started)
    return sum(taken[1:]) / _STEPS


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
