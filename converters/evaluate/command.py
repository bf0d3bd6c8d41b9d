"""`oa-chat evaluate`."""

from __future__ import annotations

import click


@click.command()
def evaluate() -> None:
    """Measure guards on labelled files."""
