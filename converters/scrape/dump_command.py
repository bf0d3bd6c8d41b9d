"""`oa-chat scrape dump`."""

from __future__ import annotations

import click


@click.command()
def dump() -> None:
    """Posts and comments from monthly dump files."""
