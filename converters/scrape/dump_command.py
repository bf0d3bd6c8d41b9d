"""`oa-chat scrape dump`: the options, and what is said at the end."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converters.options import debug_option
from converters.scrape import options
from oa_chat.errors import UsageError

if TYPE_CHECKING:
    from converters.scrape.dump import Outcome
    from converters.scrape.filters import Filters
    from converters.scrape.formats import Format
_LANGUAGE = re.compile("[a-z]{2,3}")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@options.out_option
@options.format_option
@click.option("--subreddit", "subreddits", multiple=True, metavar="NAME",
              help="Keep this subreddit; give it again for more. Without it: all.")  # fmt: skip
@click.option(
    "--after", type=options.Moment(), metavar="DATE", help="Keep from this date on (UTC)."
)
@click.option(
    "--before", type=options.Moment(), metavar="DATE", help="Keep up to before this date (UTC)."
)
@click.option("--min-score", type=int, metavar="N", help="Keep what has at least this score.")
@click.option("--over-18", type=click.Choice(["only", "without"]), help="Marked as over 18.")
@click.option("--language", "languages", multiple=True, metavar="CODE",
              help="Keep this language, e.g. en; und is undecided.")  # fmt: skip
@click.option("--match", default="", metavar="REGEX", help="Keep if title or text match.")
@click.option("--comments", type=click.IntRange(min=0), default=0, metavar="N",
              help="Put the best N comments of the RC files into their submissions.")  # fmt: skip
@options.hash_option
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Files read at once; as many as there are processors.")  # fmt: skip
@debug_option
@click.pass_context
def dump(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    out: Path,
    form: Format | None,
    **said: Any,
) -> None:
    """Posts and comments from monthly dump files.

    FILES are RS_* and RC_* of Pushshift or Arctic Shift: .zst, .jsonl or .jsonl.gz. What was
    interrupted goes on when the same command is given again.
    """
    from converters.scrape.dump import DumpJob, collect
    from converters.scrape.dump_progress import DumpProgress
    from converters.scrape.formats import format_of

    job = DumpJob(
        files=files,
        out=out,
        format=format_of(out, form),
        filters=_filters(said),
        comments=said["comments"],
        hash_authors=said["hash_authors"],
        workers=said["workers"] or os.cpu_count() or 1,
    )
    with DumpProgress(files) as progress, options.kept_when_interrupted(progress.note):
        outcome = collect(job, progress)
    context.exit(_print(outcome, out))


def _filters(said: dict[str, Any]) -> Filters:
    from converters.scrape.filters import Filters

    options.check_dates(said["after"], said["before"])
    languages = sorted({code.lower() for code in said["languages"]})
    for code in languages:
        if not _LANGUAGE.fullmatch(code):
            raise UsageError(f"{code!r} is no code of a language.", "For example: en, de, und")
    return Filters(
        subreddits=tuple(sorted(map(str.lower, options.subreddit_names(said["subreddits"])))),
        after=said["after"],
        before=said["before"],
        min_score=said["min_score"],
        over_18=said["over_18"],
        languages=tuple(languages),
        match=said["match"],
    )


def _print(outcome: Outcome, out: Path) -> int:
    """The result to standard output; what was dropped or broken to standard error."""
    if outcome.done_before:
        return options.done_before(out, outcome)
    for reason, count in outcome.drops().items():
        click.echo(f"dropped, {reason}: {count}", err=True)
    if not outcome.count:
        click.echo("Nothing was kept: look at the names and the filters.", err=True)
    return options.told_at_end(f"{out}: {outcome.count} records.", outcome.problems)
