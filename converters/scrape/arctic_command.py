"""`oa-chat scrape arctic`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converters.options import debug_option
from converters.scrape import options
from converters.scrape.arctic_api import BASE

if TYPE_CHECKING:
    from converters.scrape.arctic import Job


@click.command()
@options.subreddit_option
@options.out_option
@click.option(
    "--kind", "kinds", type=click.Choice(["submissions", "comments"]), multiple=True,
    default=("submissions",), show_default=True, help="Can be given twice, for both.",
)  # fmt: skip
@click.option("--after", type=options.Moment(), default=0, help="From this day on (UTC).")
@click.option("--before", type=options.Moment(), help="Until before this day (UTC).")
@click.option("--limit", type=click.IntRange(min=1), help="Records of each subreddit and kind.")
@click.option(
    "--comments", type=click.IntRange(0, 100), default=0, show_default=True,
    help="Top comments of each submission; costs a request for each submission.",
)  # fmt: skip
@options.hash_option
@options.format_option
@click.option(
    "--pace", type=click.FloatRange(0, 60), default=1.0, show_default=True,
    help="Seconds between two requests at least.",
)  # fmt: skip
@click.option("--base-url", default=BASE, show_default=True, help="Address of the archive.")
@options.tries_option
@debug_option
@click.pass_context
def arctic(context: click.Context, /, **said: Any) -> None:
    """Posts and comments from the Arctic Shift archive's search, oldest first.

    What the archive knows to be deleted or removed is left out. Interrupted at any point, the same
    command goes on.
    """
    context.exit(_collect(_job(said), said))


def _job(said: dict[str, Any]) -> Job:
    from converters.scrape.arctic import Job

    options.check_dates(said["after"], said["before"])
    kinds = dict.fromkeys(said["kinds"])
    return Job(
        base=said["base_url"],
        subreddits=options.subreddit_names(said["subreddits"]),
        kinds=tuple("posts" if kind == "submissions" else "comments" for kind in kinds),
        after=said["after"],
        before=said["before"],
        limit=said["limit"],
        comments=said["comments"],
        hash_authors=said["hash_authors"],
    )


def _collect(job: Job, said: dict[str, Any]) -> int:
    """Run a job to its end; the exit code."""
    from converters.scrape.arctic import Collector
    from converters.scrape.arctic_api import ArcticApi
    from converters.scrape.formats import format_of
    from converters.scrape.pacing import Pace, SystemClock
    from converters.scrape.spool import Spool
    from converters.scrape.ticker import Ticker

    out: Path = said["out"]
    form = format_of(out, said["form"])
    with Ticker() as ticker:
        pace = Pace(ticker.waiting, SystemClock(), least=said["pace"], tries=said["tries"])
        api = ArcticApi(job.base, pace)
        with Spool(out, job.described(), form) as spool:
            if spool.done:
                return options.done_before(out, spool)
            with options.kept_when_interrupted(ticker.note):
                collector = Collector(api, spool, job, ticker)
                place = collector.collect()
                spool.finish(collector.problems())
    said_at_end = f"{spool.count} records; {place.left_out} were deleted or removed."
    return options.told_at_end(f"{out}: {said_at_end}", spool.problems)
