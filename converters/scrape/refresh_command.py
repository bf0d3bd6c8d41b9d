"""`oa-chat scrape refresh`."""

from __future__ import annotations

import click


@click.command()
def refresh() -> None:
    """Remove what was deleted on Reddit since it was collected."""
