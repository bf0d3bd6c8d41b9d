"""`oa-chat scrape arctic`."""

from __future__ import annotations

import click


@click.command()
def arctic() -> None:
    """Posts and comments from the Arctic Shift archive's search."""
