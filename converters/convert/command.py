"""`oa-chat convert`."""

from __future__ import annotations

import click


@click.command()
def convert() -> None:
    """Turn a checkpoint into a GGUF file, and verify it."""
