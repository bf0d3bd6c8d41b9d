"""`oa-chat scrape reddit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converters.options import debug_option
from converters.scrape import options
from oa_chat.errors import UsageError

if TYPE_CHECKING:
    from converters.scrape.reddit import Job, Listing

_LISTINGS = ("hot", "top", "rising", "new", "search")
_TIMES = ("hour", "day", "week", "month", "year", "all")


@click.command()
@options.subreddit_option
@options.out_option
@options.permission_option
@click.option(
    "--listing", "listings", type=click.Choice(_LISTINGS), multiple=True,
    help="What to go through; can be given several times. Default: hot, with --query search.",
)  # fmt: skip
@click.option("--query", default="", help="What to search for.")
@click.option(
    "--time", "span", type=click.Choice(_TIMES), default="all", show_default=True,
    help="How far back top and search go.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(min=1),
    help="Submissions of each listing. Default: all that Reddit shows, about 1,000.",
)  # fmt: skip
@click.option(
    "--comments", type=click.IntRange(0, 200), default=0, show_default=True,
    help="Top comments of each submission; costs a request for each submission.",
)  # fmt: skip
@options.hash_option
@options.format_option
@options.site_option
@options.tries_option
@debug_option
@click.pass_context
def reddit(context: click.Context, /, permitted: bool, **said: Any) -> None:
    """Posts and comments from Reddit's API, with the credentials of an app of yours.

    They come from the environment (praw_client_id, praw_client_secret), a praw.ini or the system's
    keyring (service "oa-chat"). Interrupted at any point, the same command goes on.
    """
    options.check_permission(permitted)
    context.exit(_collect(_job(said), said))


def _job(said: dict[str, Any]) -> Job:
    from converters.scrape.reddit import Job

    listings: tuple[Listing, ...] = tuple(dict.fromkeys(said["listings"]))
    if not listings:
        listings = ("search",) if said["query"] else ("hot",)
    if ("search" in listings) != bool(said["query"]):
        raise UsageError("The listing search and --query belong together.", "Give both, or none.")
    return Job(
        options.subreddit_names(said["subreddits"]),
        listings,
        said["span"],
        said["query"],
        said["limit"],
        said["comments"],
        said["hash_authors"],
    )


def _collect(job: Job, said: dict[str, Any]) -> int:
    """Run a job to its end; the exit code."""
    from converters.scrape.credentials import connect, find_credentials
    from converters.scrape.formats import format_of
    from converters.scrape.pacing import Pace, SystemClock
    from converters.scrape.reddit import Collector
    from converters.scrape.reddit_api import RedditApi
    from converters.scrape.spool import Spool
    from converters.scrape.ticker import Ticker

    out: Path = said["out"]
    form = format_of(out, said["form"])
    credentials = find_credentials(said["site"])
    with Ticker() as ticker, Spool(out, job.described(), form) as spool:
        if spool.done:
            return options.done_before(out, spool)
        pace = Pace(ticker.waiting, SystemClock(), tries=said["tries"])
        api = RedditApi(connect(credentials, pace))
        with options.kept_when_interrupted(ticker.note):
            collector = Collector(api, spool, job, ticker)
            place = collector.collect()
            spool.finish(collector.problems())
    said_at_end = f"{spool.count} submissions; {place.left_out} were deleted or removed."
    return options.told_at_end(f"{out}: {said_at_end}", spool.problems)
