"""`oa-chat train`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from converters.options import debug_option


@click.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that {data} in the recipe stands for.",
)
@click.option("--out", metavar="FOLDER", help="Same as out=FOLDER.")
@click.option("--base", metavar="MODEL", help="Same as base=MODEL.")
@click.option("--seed", type=int, help="Same as seed=NUMBER.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Same as train.max_steps=NUMBER.")
@click.option("--dry-run", is_flag=True, help="Count records and tokens, time a few steps, stop.")
@click.option(
    "--resume", metavar="auto|FILE", default="no", help="Go on from the newest checkpoint, or FILE."
)
@click.option("--fresh", is_flag=True, help="Begin again where a training lies already.")
@debug_option
def train(
    recipe: str,
    overrides: tuple[str, ...],
    data: Path | None,
    dry_run: bool,
    resume: str,
    fresh: bool,
    **said: str | int | None,
) -> None:
    """Train a guard, a rule writer or a small chat model, by a recipe.

    RECIPE is a TOML file, or the name of one that ships: guard-minilm, rule-writer, starter-chat,
    t5-narrow. KEY=VALUE, such as train.epochs=2, goes before what it says. Interrupted (Ctrl+C,
    SIGTERM) it saves a checkpoint, and --resume auto goes on from there.
    """
    from converters.recipe import find_recipe
    from converters.train.run import Wanted, run

    keys = {"out": "out", "base": "base", "seed": "seed", "max_steps": "train.max_steps"}
    more = tuple(f"{keys[name]}={value}" for name, value in said.items() if value is not None)
    with _ended_by_signals():
        run(Wanted(find_recipe(recipe, "kind"), (*overrides, *more), data, dry_run, resume, fresh))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """After a signal the checkpoint is written; then the program ends as the signal says."""
    import signal

    from converters.train.loop import Interrupted

    try:
        yield
    except Interrupted as stopped:
        click.echo(
            f"Interrupted after step {stopped.step}; the checkpoint is written."
            " Go on with --resume auto.",
            err=True,
        )
        if stopped.signal == signal.SIGINT:
            raise KeyboardInterrupt from stopped
        raise click.exceptions.Exit(128 + (stopped.signal or signal.SIGTERM)) from stopped
