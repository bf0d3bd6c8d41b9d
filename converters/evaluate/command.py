"""`oa-chat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from converters.options import debug_option


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--set", "sets", multiple=True, metavar="NAME=FILE", help="A labelled test file.")
@click.option(
    "--dev", "devs", multiple=True, metavar="NAME=FILE", help="A file to fit the temperature on."
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the project's packs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where JSON, plots and card go.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Rows of each file; 0 is all.")
@click.option(
    "--latency",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Messages that are timed; 0 times none.",
)
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Threads; 0 is as in the chat."
)
@click.option("--rules", is_flag=True, help='Measure authors of rules; "rulebook" is one.')
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--with-text", is_flag=True, help="Put the messages into predictions.jsonl.")
@debug_option
def evaluate(**said: Any) -> None:
    """Measure guards on labelled files.

    MODEL is a GGUF file, a checkpoint folder, or "embedded". Several are compared.
    """
    from converters.evaluate.evaluation import Options, run

    run(Options(**said))
