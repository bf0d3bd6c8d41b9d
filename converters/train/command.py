"""`oa-chat train`."""

from __future__ import annotations

import click


@click.command()
def train() -> None:
    """Train a guard, a rule writer or a small chat model, by a recipe."""
