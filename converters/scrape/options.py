"""What the commands of `scrape` have in common on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import click

from converters.scrape.formats import FORMATS
from oa_chat.errors import UsageError
from oa_chat.printable import printable

# Those with a dot or a colon are from Reddit's first years ("reddit.com"), or about Reddit.
_NAME = re.compile(r"(?:/?r/)?([A-Za-z0-9_][A-Za-z0-9_.:-]{1,29})/?", re.IGNORECASE)

subreddit_option = click.option(
    "--subreddit",
    "subreddits",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A subreddit; can be given several times.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write; OUT.state.json beside it says how far it is.",
)
format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Default: by the ending of --out."
)
hash_option = click.option(
    "--hash-authors",
    is_flag=True,
    help="Keep a salted hash of each author, good within this file only. Default: no authors.",
)
tries_option = click.option(
    "--tries",
    type=click.IntRange(1, 20),
    default=7,
    show_default=True,
    help="How often a request is sent before the run ends.",
)
site_option = click.option(
    "--site", metavar="NAME", help="The site of praw.ini (or of the keyring) whose app is used."
)
permission_option = click.option(
    "--i-have-permission",
    "permitted",
    is_flag=True,
    help="You have read Reddit's terms and may do this.",
)


class Moment(click.ParamType[int]):
    """A day or a moment in UTC, or seconds since 1970; becomes the seconds."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The seconds of what was typed."""
        if isinstance(value, int):
            return value
        try:
            if value.isascii() and value.isdigit() and len(value) > 8:
                return int(value)
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; for example 2024-03-01.", param, ctx)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def check_dates(after: int | None, before: int | None) -> None:
    """Raise a UsageError if no moment is between them."""
    if after is not None and before is not None and after >= before:
        raise UsageError("--before is not after --after: nothing is between them.")


def check_permission(permitted: bool) -> None:
    """Raise a UsageError with Reddit's terms in two lines, unless the user said that they know."""
    if permitted:
        return
    raise UsageError(
        "Reddit's Data API needs Reddit's approval first, and training a model on posts needs the "
        "consent of who wrote them; what they delete, you delete too (oa-chat scrape refresh).",
        "The terms: https://redditinc.com/policies/data-api-terms - if you may do this, say "
        "--i-have-permission.",
    )


def subreddit_names(said: Sequence[str]) -> tuple[str, ...]:
    """The names without r/, each once whatever its case. Raises UsageError for what is none."""
    names: dict[str, str] = {}
    for text in said:
        match = _NAME.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no name of a subreddit.", "For example: gardening")
        names.setdefault(match[1].lower(), match[1])
    return tuple(names.values())


class _Done(Protocol):
    @property
    def count(self) -> int: ...
    @property
    def problems(self) -> list[str]: ...


def done_before(out: Path, done: _Done) -> int:
    """Say that an earlier run did the job, and what it missed; the exit code."""
    line = f"{out}: {done.count} records, complete since an earlier run."
    if done.problems:
        line = (
            f"{out}: {done.count} records, since an earlier run that could not get all. "
            f"To try again, remove {out.name} and {out.name}.state.json."
        )
    return told_at_end(line, done.problems)


def told_at_end(line: str, problems: Sequence[str]) -> int:
    """Print the result and, to standard error, what is missing; the exit code."""
    for problem in problems:
        click.echo(printable(problem), err=True)
    click.echo(printable(line))
    return 1 if problems else 0


@contextmanager
def kept_when_interrupted(note: Callable[[str], None]) -> Iterator[None]:
    """Say on Ctrl+C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        note("Stopped. Run the same command again, and it goes on.")
        raise
