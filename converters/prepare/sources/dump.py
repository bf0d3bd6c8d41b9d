"""Monthly dump files as they are: a dataset from a dump in one command, for dumps of modest size.

The rows become posts as `oa-chat scrape dump` makes them. That command is the one for large dumps:
it searches the packed file and keeps what is wanted, while a preparation unpacks all of it into its
work folder, does not join comments with their posts, and knows no filter but the subreddit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from converters.errors import DataError
from converters.prepare.sources.base import BadRow, Made, NumberedRow, SourceKind
from converters.prepare.sources.posts import PostRow, Posts, PostsRecipe
from converters.scrape.dump_records import DumpRow, NotARecord, post_of, was_deleted

_TEXTS = {"title", "selftext", "body"}


class DumpRecipe(msgspec.Struct, frozen=True):
    """The keys of a source of dump files."""

    subreddits: list[str] = []
    """Whose posts are taken, in any case; none takes all."""
    licence: str = "unknown"
    """Of the posts. Reddit's terms give no right to train on them: say what you were granted."""
    comments: Literal["drop", "records"] = "drop"
    """Whether the comments of RC files become records (in the thread of their post)."""
    title: bool = True
    """Whether a post's title opens its text."""


class Dump:
    """Makes drafts of the rows of a dump. What was deleted is passed over."""

    row_type: Any = DumpRow
    whole = False

    def __init__(self, recipe: DumpRecipe) -> None:
        self._subreddits = {name.lower().removeprefix("r/") for name in recipe.subreddits}
        self._posts = Posts(PostsRecipe(recipe.licence, recipe.comments, recipe.title))

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raise DataError unless the rows have an id and a title or a text."""
        if not {"id", "name"} & set(columns) or not _TEXTS & set(columns):
            raise DataError(
                f"{place}: not a dump of posts or comments: its columns are {', '.join(columns)}.",
                'Dumps have id, and title, selftext or body. For other files use kind = "table".',
            )

    def drafts(self, rows: Iterable[NumberedRow], stem: str) -> Iterator[Made]:
        """Each post of a wanted subreddit; each comment, if they are wanted."""
        for number, row in rows:
            if self._subreddits and str(row.subreddit).lower() not in self._subreddits:
                continue
            if was_deleted(row):
                continue
            try:
                post = post_of(row, stem)
            except NotARecord as error:
                yield BadRow(number, str(error))
                continue
            read = PostRow(
                id=post.id,
                kind=post.kind,
                subreddit=post.subreddit,
                title=post.title,
                text=post.text,
                thread=post.thread,
            )
            yield from self._posts.drafts([(number, read)], stem)


DUMP = SourceKind(DumpRecipe, Dump)
