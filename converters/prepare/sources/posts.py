"""Posts and comments as `oa-chat scrape` writes them (docs/scrape.md has their columns)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from converters.errors import DataError
from converters.prepare.draft import Draft
from converters.prepare.sources.base import Made, NumberedRow, SourceKind


class PostsRecipe(msgspec.Struct, frozen=True):
    """The keys of a source of scraped posts."""

    licence: str = "unknown"
    """Of the posts. Reddit's terms give no right to train on them: say what you were granted."""
    comments: Literal["drop", "records"] = "drop"
    """Whether comments become records of their own (in the thread of their post)."""
    title: bool = True
    """Whether a post's title opens its text."""


class CommentRow(msgspec.Struct):
    """A comment below a post, as far as a record needs it."""

    id: str = ""
    text: str = ""


class PostRow(msgspec.Struct):
    """A scraped row, as far as a record needs it. Other columns are not read."""

    id: str
    kind: str = "post"
    subreddit: str = ""
    title: str = ""
    text: str = ""
    lang: str = ""
    thread: str = ""
    comments: list[CommentRow] = []


class Posts:
    """Makes drafts of scraped rows."""

    row_type: Any = PostRow
    whole = False

    def __init__(self, recipe: PostsRecipe) -> None:
        self._recipe = recipe

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raise DataError unless the rows have an id and a text or a title."""
        if "id" not in columns or not {"text", "title"} & set(columns):
            raise DataError(
                f"{place}: not posts of `oa-chat scrape`: its columns are {', '.join(columns)}.",
                'Posts have id, title and text. For other files use kind = "table".',
            )

    def drafts(self, rows: Iterable[NumberedRow], stem: str) -> Iterator[Made]:
        """Each post, then its comments if they are wanted."""
        wanted = self._recipe.comments == "records"
        for _, row in rows:
            comment = row.kind == "comment"
            if comment and not wanted:
                continue
            thread = row.thread or row.id
            yield self._draft(row.id, thread, row, "" if comment else row.title, row.text)
            if wanted:
                for below in row.comments:
                    yield self._draft(below.id, thread, row, "", below.text)

    def _draft(self, key: str, thread: str, row: PostRow, title: str, text: str) -> Draft:
        if title and self._recipe.title:
            text = f"{title}\n\n{text}" if text.strip() else title
        source = f"reddit/{row.subreddit}" if row.subreddit else "reddit"
        return Draft(
            key, source, thread, self._recipe.licence, row.kind, text, [], (), (), lang=row.lang
        )


POSTS = SourceKind(PostsRecipe, Posts)
