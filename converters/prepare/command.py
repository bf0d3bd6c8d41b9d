"""`oa-chat prepare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from converters.options import debug_option

if TYPE_CHECKING:
    from converters.prepare.plan import Request
    from converters.prepare.run import Outcome


_INTERRUPTED = 130
"""The exit code that the cli gives to Ctrl+C."""


@click.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that {data} stands for in the recipe.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The dataset's folder. [./NAME]")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Daft in this process, or on a Ray cluster.",
)
@click.option("--address", default="", help="The Ray cluster; without it one starts here.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, help="Worker processes. [all processors]"
)
@click.option("--dry-run", is_flag=True, help="Count the sources and check the recipe; no more.")
@click.option("--slice-kb", type=click.IntRange(min=1), default=2**14, hidden=True)
@debug_option
def prepare(  # noqa: PLR0913 - what click hands over
    recipe: str,
    overrides: tuple[str, ...],
    *,
    data: Path | None,
    out: Path | None,
    engine: Literal["local", "ray"],
    address: str,
    workers: int,
    dry_run: bool,
    slice_kb: int,
) -> None:
    """Make a clean dataset of what was collected.

    RECIPE is a TOML file, or the name of a recipe that ships: guard, reddit, multilingual.
    KEY=VALUE changes it for this run, such as steps.near.threshold=0.7.
    """
    from converters.prepare.plan import Request
    from converters.prepare.progress import Progress
    from converters.prepare.run import run
    from converters.recipe import find_recipe

    if address and engine != "ray":
        raise click.UsageError("--address is of a Ray cluster: add --engine ray.")
    path = find_recipe(recipe, "source")
    request = Request(path, overrides, out, data, engine, address, workers, slice_kb * 1024)
    if dry_run:
        _print_sources(request)
        return
    try:
        outcome = run(request, Progress())
    except KeyboardInterrupt:
        # At once: Daft's threads are still at work, and abort a Python that ends in the usual way
        # (SIGABRT or SIGSEGV in 9 of 10 tries). The workers end with this process.
        os._exit(_INTERRUPTED)
    _print_outcome(outcome)


def _print_sources(request: Request) -> None:
    from converters.prepare.dry_run import count_rows
    from converters.prepare.plan import plan
    from oa_chat.printable import printable

    made = plan(request)
    total = 0
    for file in made.files:
        rows = count_rows(file)
        total += rows
        kind = made.pipeline.sources[file.source].kind
        click.echo(f"{rows:>12,}  {kind:<10} {printable(file.name)}")
    click.echo(f"{total:>12,}  rows in {len(made.files)} files")
    click.echo(f"Steps: {', '.join(made.pipeline.recipe.steps) or 'none'}")
    click.echo(f"The dataset would be written to {made.folder}.")


def _print_outcome(outcome: Outcome) -> None:
    from oa_chat.printable import printable

    manifest = outcome.manifest
    if not outcome.ran:
        click.echo(
            f"Nothing to do: {outcome.folder} is what this recipe makes of these inputs "
            f"({manifest.counts['kept']:,} records)."
        )
        return
    rows = [
        (step, printable(reason), f"{count:,}")
        for step, reasons in manifest.drops.items()
        for reason, count in reasons.items()
    ]
    if rows:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        click.echo("Dropped:")
        for step, reason, count in rows:
            click.echo(f"  {step:<{widths[0]}}  {reason:<{widths[1]}}  {count:>{widths[2]}}")
    for place in manifest.unreadable[:5]:
        click.echo(f"  unreadable: {printable(place)}")
    counts = manifest.counts
    splits = ", ".join(
        f"{name} {counts.get(name, 0):,}" for name in ("train", "validation", "test")
    )
    click.echo(f"Read {counts['read']:,} records, kept {counts['kept']:,}: {splits}.")
    click.echo(f"The dataset and its card are in {outcome.folder}.")
