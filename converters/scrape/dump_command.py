"""`oa-chat scrape dump`: the options, and what is said at the end."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from converters.scrape import options

if TYPE_CHECKING:
    from converters.scrape.dump import Outcome
_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--format", "format_", type=click.Choice(["jsonl", "jsonl.zst", "parquet"]),
              help="If the ending of --out does not say it.")  # fmt: skip
@click.option("--subreddit", "subreddits", multiple=True, metavar="NAME",
              help="Keep this subreddit; give it again for more. Without it: all.")  # fmt: skip
@click.option("--after", type=_DATE, metavar="DATE", help="Keep from this date on (UTC).")
@click.option("--before", type=_DATE, metavar="DATE", help="Keep up to before this date (UTC).")
@click.option("--min-score", type=int, metavar="N", help="Keep what has at least this score.")
@click.option("--over-18", type=click.Choice(["only", "without"]), help="Marked as over 18.")
@click.option("--language", "languages", multiple=True, metavar="CODE",
              help="Keep this language, e.g. en; und is undecided.")  # fmt: skip
@click.option("--match", default="", metavar="REGEX", help="Keep if title or text match.")
@click.option("--comments", type=click.IntRange(min=0), default=0, metavar="N",
              help="Put the best N comments of the RC files into their submissions.")  # fmt: skip
@click.option("--hash-authors", is_flag=True,
              help="Replace authors by hashes of this run; else they are left out.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Files read at once; as many as there are processors.")  # fmt: skip
@click.pass_context
def dump(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    out: Path,
    format_: Literal["jsonl", "jsonl.zst", "parquet"] | None,
    **said: Any,
) -> None:
    """Posts and comments from monthly dump files.

    FILES are RS_* and RC_* of Pushshift or Arctic Shift: .zst, .jsonl or .jsonl.gz. What was
    interrupted goes on when the same command is given again.
    """
    from converters.scrape.dump import DumpJob, collect
    from converters.scrape.formats import format_of
    from converters.scrape.ticker import Ticker

    job = DumpJob(
        files=files,
        out=out,
        format=format_of(out, format_),
        filters=_filters(said),
        comments=said["comments"],
        hash_authors=said["hash_authors"],
        workers=said["workers"] or os.cpu_count() or 1,
    )
    started = time.monotonic()
    with Ticker() as ticker:

        def progress(text: int, kept: int) -> None:
            seconds = max(0.001, time.monotonic() - started)
            ticker.at(f"{text / 1e6:,.0f} MB read ({text / 1e6 / seconds:.0f} MB/s), {kept} kept")

        outcome = collect(job, progress)
    context.exit(_print(outcome, out))


def _filters(said: dict[str, Any]) -> Any:
    from converters.scrape.filters import Filters, seconds_of

    def seconds(date: datetime | None) -> int | None:
        return None if date is None else seconds_of(date)

    return Filters(
        subreddits=tuple(sorted({_bare(name) for name in said["subreddits"]})),
        after=seconds(said["after"]),
        before=seconds(said["before"]),
        min_score=said["min_score"],
        over_18=said["over_18"],
        languages=tuple(sorted({code.lower() for code in said["languages"]})),
        match=said["match"],
    )


def _bare(name: str) -> str:
    """A subreddit's name as a person may write it, without "r/"."""
    return name.strip().strip("/").lower().removeprefix("r/")


def _print(outcome: Outcome, out: Path) -> int:
    """The result to standard output; what was dropped or broken to standard error."""
    if outcome.done_before:
        return options.done_before(out, outcome)
    for reason, count in outcome.drops().items():
        click.echo(f"dropped, {reason}: {count}", err=True)
    return options.told_at_end(f"{out}: {outcome.count} records.", outcome.problems)
