"""A whole run of `oa-chat evaluate`: from names and files to tables and a folder.

Everything that can be wrong with the command line is found before a model is loaded. Models are
loaded one at a time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.evaluate.checkpoint import open_checkpoint
from converters.evaluate.intervals import RESAMPLES, SEED
from converters.evaluate.judges import Judge, open_gguf
from converters.evaluate.latency import Latency, measure_latency
from converters.evaluate.output import (
    CACHE,
    comparison_grids,
    folder_names,
    require_folder,
    write_comparison,
    write_json,
    write_model,
)
from converters.evaluate.predictions import predict
from converters.evaluate.progress import say
from converters.evaluate.report import ModelReport, fit_on_dev, set_report
from converters.evaluate.rules import (
    AuthorRules,
    GuardRules,
    RuleMaker,
    is_author,
    rule_grid,
    rule_report,
    write_rules,
)
from converters.evaluate.samples import (
    GUARD_PACKS,
    RULE_PACKS,
    LabelledSet,
    named_files,
    pack_files,
    read_set,
    refuse_shared,
    without_texts_of,
)
from converters.evaluate.tables import Grid, guard_grids, latency_grid
from converters.extras import require
from oa_chat import __version__
from oa_chat.errors import UsageError

_WIDTH = 120
"""Columns where the output is no terminal."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    models: tuple[str, ...]
    sets: tuple[str, ...] = ()
    devs: tuple[str, ...] = ()
    out: Path | None = None
    data: Path | None = None
    limit: int = 0
    latency: int = 100
    threads: int = 0
    rules: bool = False
    as_json: bool = False
    with_text: bool = False


def run(options: Options) -> None:
    """Measure, print, write. Raises OaChatError."""
    require("train", "numpy", "matplotlib", "huggingface_hub", "sacrebleu")
    if len(set(options.models)) != len(options.models):
        raise UsageError("A model is named twice.", "Name each one once.")
    sets = _sets(options)
    if options.out:
        require_folder(options.out)
    if options.rules:
        _run_rules(options, sets)
    else:
        _run_guards(options, sets)


def open_judge(wanted: str, threads: int = 0) -> Judge:
    """The judge of a name, a GGUF file or a checkpoint folder. Raises ModelError, UsageError."""
    path = Path(wanted).expanduser()
    return open_checkpoint(path, threads) if path.is_dir() else open_gguf(wanted, threads)


def _sets(options: Options) -> list[LabelledSet]:
    named = named_files(options.sets, "--set")
    if not named:
        if options.data is None:
            raise UsageError(
                "There is nothing to measure on.",
                "Name files with --set NAME=FILE, or a folder with the packs with --data.",
            )
        named = pack_files(options.data, RULE_PACKS if options.rules else GUARD_PACKS)
    return [read_set(name, path, options.limit, rules=options.rules) for name, path in named]


# ------------------------------------------------------------------------------------- guards


def _run_guards(options: Options, sets: Sequence[LabelledSet]) -> None:
    devs = _devs(options, sets)
    cache = options.out / CACHE if options.out else None
    # Headers are read for all models first: a wrong one is an error before hours of work.
    judges = [open_judge(model, options.threads) for model in options.models]
    names = folder_names([judge.info.name for judge in judges])
    reports: list[ModelReport] = []
    times: list[tuple[str, Latency]] = []
    try:
        for judge in judges:
            with closing(judge):
                reports.append(_report(judge, sets, devs, cache))
                if options.latency:
                    latency = measure_latency(judge, sets, options.latency, options.threads)
                    times.append((judge.info.name, latency))
    finally:
        for judge in judges:
            judge.close()
    results = _results(options, sets, devs) | {"models": [one.fields() for one in reports]}
    latencies = {name: one.fields() for name, (_, one) in zip(names, times, strict=False)}
    if options.out:
        _write_guards(options, options.out, names, reports, results, latencies)
    table = latency_grid(times)
    _print(options, [*guard_grids(reports), *([table] if table else [])], results, latencies)


def _devs(options: Options, sets: Sequence[LabelledSet]) -> list[LabelledSet]:
    devs = [
        read_set(name, path, options.limit) for name, path in named_files(options.devs, "--dev")
    ]
    refuse_shared(sets, devs)
    found = []
    for dev in devs:
        kept = without_texts_of(dev, sets)
        if len(kept.samples) < len(dev.samples):
            shared = len(dev.samples) - len(kept.samples)
            say(f"{dev.name}: {shared} messages are in a test set as well and are left out.")
        found.append(kept)
    return found


def _report(
    judge: Judge, sets: Sequence[LabelledSet], devs: Sequence[LabelledSet], cache: Path | None
) -> ModelReport:
    temperature = fit_on_dev(devs, [predict(judge, dev, cache) for dev in devs])
    if devs and temperature is None:
        say(f"{judge.info.name}: no temperature: the dev files say too little about levels.")
    reports = tuple(
        set_report(data, predict(judge, data, cache), judge.info, temperature) for data in sets
    )
    return ModelReport(judge.info, reports, temperature)


def _results(
    options: Options, sets: Sequence[LabelledSet], devs: Sequence[LabelledSet]
) -> dict[str, Any]:
    return {
        "format": 1,
        "program": f"oa-chat {__version__}",
        "resamples": RESAMPLES,
        "seed": SEED,
        "limit": options.limit or None,
        "sets": {data.name: _set_fields(data) for data in sets},
        "dev": {data.name: _set_fields(data) for data in devs},
    }


def _set_fields(data: LabelledSet) -> dict[str, Any]:
    return {
        "file": data.path.name,
        "sha256": data.sha256,
        "rows": data.rows,
        "used": len(data.samples),
    }


def _write_guards(
    options: Options,
    out: Path,
    names: Sequence[str],
    reports: Sequence[ModelReport],
    results: dict[str, Any],
    latencies: dict[str, Any],
) -> None:
    several = len(reports) > 1
    for name, report in zip(names, reports, strict=True):
        folder = out / name if several else out
        write_model(report, folder, options.limit, with_text=options.with_text)
    if several:
        write_comparison(out / "compare.md", "Guards compared", comparison_grids(reports))
    write_json(out / "results.json", results)
    if latencies:
        write_json(out / "latency.json", latencies)


# -------------------------------------------------------------------------------------- rules


def _open_maker(wanted: str, threads: int) -> RuleMaker:
    if is_author(wanted):
        return AuthorRules(wanted, threads=threads)
    return GuardRules(open_judge(wanted, threads))


def _run_rules(options: Options, sets: Sequence[LabelledSet]) -> None:
    makers = [_open_maker(model, options.threads) for model in options.models]
    names = folder_names([maker.info.name for maker in makers])
    reports = []
    models: list[dict[str, Any]] = []
    latencies: dict[str, Any] = {}
    try:
        for name, maker in zip(names, makers, strict=True):
            with closing(maker):
                done = [rule_report(data, write_rules(maker, data)) for data in sets]
            reports += [(maker.info.name, one) for one in done]
            models.append(
                {
                    "name": maker.info.name,
                    "sha256": maker.info.sha256 or None,
                    "rules": {one.data.name: one.fields() for one in done},
                }
            )
            latencies[name] = {
                one.data.name: {"p50_ms": round(one.p50_ms, 3), "p95_ms": round(one.p95_ms, 3)}
                for one in done
            }
    finally:
        for maker in makers:
            maker.close()
    grid = rule_grid(reports)
    results = _results(options, sets, ()) | {"models": models}
    if options.out:
        write_comparison(options.out / "rules.md", "Authors of rules", [grid])
        write_json(options.out / "rules.json", results)
        write_json(options.out / "rules_latency.json", latencies)
    _print(options, [grid], results, latencies)


# ------------------------------------------------------------------------------------- output


def _print(
    options: Options, grids: Sequence[Grid], results: dict[str, Any], latencies: dict[str, Any]
) -> None:
    if options.as_json:
        print_line = json.dumps(results | {"latency": latencies}, ensure_ascii=False)
        sys.stdout.write(print_line + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    for grid in grids:
        grid.show(console)
    if options.out:
        say(f"Written to {options.out}.")
