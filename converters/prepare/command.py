"""`oa-chat prepare`."""

from __future__ import annotations

import click


@click.command()
def prepare() -> None:
    """Make a clean dataset of what was collected, by a recipe."""
