"""`oa-chat scrape refresh`."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converters.options import debug_option
from converters.scrape import options
from oa_chat.errors import UsageError

if TYPE_CHECKING:
    from converters.scrape.refresh import Log

_ENDINGS = (".jsonl", ".jsonl.zst", ".parquet")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@options.permission_option
@click.option(
    "--accept-unknown",
    is_flag=True,
    help="Go on even if Reddit knows nothing of more than half of the records.",
)
@options.site_option
@options.tries_option
@debug_option
def refresh(
    file: Path, permitted: bool, accept_unknown: bool, site: str | None, tries: int
) -> None:
    """Remove from FILE what was deleted or removed on Reddit since it was collected.

    Asks for every submission and comment in it, and writes the file back in its format. Until the
    end the file stays as it is; interrupted at any point, the same command goes on.
    """
    options.check_permission(permitted)
    if not file.name.lower().endswith(_ENDINGS):
        raise UsageError(
            f"{file} is none that scrape wrote.", f"Known endings: {', '.join(_ENDINGS)}."
        )
    from converters.provenance import replacing
    from converters.scrape.credentials import connect, find_credentials
    from converters.scrape.formats import format_of
    from converters.scrape.pacing import Pace, SystemClock
    from converters.scrape.reddit_api import RedditApi
    from converters.scrape.refresh import Log, ask, kept_rows, write_rows
    from converters.scrape.ticker import Ticker

    format_of(file)
    credentials = find_credentials(site)
    with Ticker() as ticker, Log(file) as log, options.kept_when_interrupted(ticker.note):
        pace = Pace(ticker.waiting, SystemClock(), tries=tries)
        api = RedditApi(connect(credentials, pace))
        if log.asked:
            ticker.note(f"Going on: {log.asked} were asked for before.")
        ask(file, log, api.info, lambda asked: ticker.at(f"{asked} asked for"))
        if not accept_unknown:
            _check_unknown(file, log)
        counts: collections.Counter[str] = collections.Counter()
        rows = kept_rows(file, log.gone, counts)
        if log.gone:
            with replacing(file) as target:
                write_rows(file, rows, target)
        else:
            collections.deque(rows, maxlen=0)
        log.remove()
    _report(file, counts)


def _check_unknown(file: Path, log: Log) -> None:
    """Refuse to empty a file because an app may not see what is in it."""
    from converters.errors import SourceError
    from converters.scrape.refresh import UNKNOWN

    unknown = sum(reason == UNKNOWN for reason in log.gone.values())
    if 2 * unknown > log.asked:
        raise SourceError(
            f"Reddit knows nothing of {unknown} of the {log.asked} things in {file}. Perhaps this "
            "app may not see them. Nothing was changed.",
            "If they are gone indeed, run it again with --accept-unknown.",
        )


def _report(file: Path, counts: collections.Counter[str]) -> None:
    click.echo(f"{file}: {counts['records']} records with {counts['comments']} comments stay.")
    for key in sorted(counts):
        what, mark, reason = key.partition(": ")
        if mark:
            plural = "" if counts[key] == 1 else "s"
            click.echo(f"Taken out: {counts[key]} {what}{plural} {reason}.")
