"""Which records of a dump are kept: each filter answers with the reason why not."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Literal

import msgspec

from converters.scrape.posts import Post
from oa_chat.errors import UsageError

Reason = Literal["subreddit", "date", "score", "over_18", "match", "language"]
_PATIENCE = 2.0
"""Seconds for one record. A sound expression takes microseconds, one that explodes takes years."""


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; what is empty or None filters nothing."""

    subreddits: tuple[str, ...] = ()
    """Names, compared without case."""
    after: int | None = None
    """Seconds since 1970, included."""
    before: int | None = None
    """Seconds since 1970, excluded."""
    min_score: int | None = None
    over_18: Literal["only", "without"] | None = None
    """Records of sources that do not say count as not marked."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes; "und" is undecided."""
    match: str = ""
    """A regular expression that is searched for in title and text."""


class Sieve:
    """Filters, ready for use in one process."""

    def __init__(self, filters: Filters) -> None:
        """Raises UsageError for a wrong regular expression."""
        self._filters = filters
        self._names = {name.lower() for name in filters.subreddits}
        try:
            self._match = re.compile(filters.match) if filters.match else None
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"--match is no regular expression: {error}.") from error

    def is_wanted(self, subreddit: str) -> bool:
        """Whether it is one of the subreddits."""
        return not self._names or subreddit.lower() in self._names

    def check(self, post: Post) -> Reason | None:
        """Why the record is dropped, or None. Cheap checks come first.

        Raises UsageError where the regular expression does not come to an end.
        """
        asked = self._filters
        if not self.is_wanted(post.subreddit):
            return "subreddit"
        if _is_outside(post.created, asked.after, asked.before):
            return "date"
        if asked.min_score is not None and post.score < asked.min_score:
            return "score"
        if asked.over_18 and (asked.over_18 == "only") != bool(post.over_18):
            return "over_18"
        return None if self._matches(post) else "match"

    def with_language(self, post: Post) -> Post | None:
        """The post with its language, or None if it is in none of those asked for."""
        if not self._filters.languages:
            return post
        from converters.language import language_of

        lang, _ = language_of(_words(post))
        if lang not in self._filters.languages:
            return None
        return msgspec.structs.replace(post, lang=lang)

    def _matches(self, post: Post) -> bool:
        if self._match is None:
            return True
        try:
            with _time_limit(_PATIENCE):
                return self._match.search(_words(post)) is not None
        except TimeoutError:
            raise UsageError(
                f"--match did not come to an end within {_PATIENCE:.0f} s on {post.id}.",
                "Repetitions inside repetitions, such as (a+)+, take forever: write it simpler.",
            ) from None


def _is_outside(created: int, after: int | None, before: int | None) -> bool:
    return (after is not None and created < after) or (before is not None and created >= before)


def _words(post: Post) -> str:
    return f"{post.title}\n{post.text}" if post.title else post.text


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """TimeoutError after some seconds, also in the midst of a regular expression.

    Python's engine looks for signals while it searches. Where there are none (Windows, another
    thread) there is no limit.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
