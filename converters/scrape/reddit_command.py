"""`oa-chat scrape reddit`."""

from __future__ import annotations

import click


@click.command()
def reddit() -> None:
    """Posts and comments from Reddit's API."""
