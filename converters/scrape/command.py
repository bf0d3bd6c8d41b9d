"""`oa-chat scrape`: a command for each place that posts come from."""

from __future__ import annotations

import importlib

import click

from converters.options import debug_option

_SOURCES = {
    "arctic": "Posts and comments from the Arctic Shift archive's search.",
    "dump": "Posts and comments from monthly dump files.",
    "reddit": "Posts and comments from Reddit's API.",
    "refresh": "Remove what was deleted on Reddit since it was collected.",
}
"""Each in its own module, `converters.scrape.NAME_command`, loaded when it is used."""


class _Sources(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(_SOURCES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _SOURCES:
            return None
        module = importlib.import_module(f"converters.scrape.{name}_command")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_SOURCES.items()))


@click.group(cls=_Sources)
@debug_option
def scrape() -> None:
    """Collect posts from Reddit's API, dumps and archives."""
