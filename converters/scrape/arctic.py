"""Collects posts and comments of subreddits from the Arctic Shift archive, oldest first.

The archive pages by time, in whole seconds, and does not say whether `after` means "from" or
"later than". So each page is asked for from a second before the last one seen, and what is known
already is dropped: nothing at the border of two pages is lost or doubled either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from converters.errors import SourceError
from converters.scrape.arctic_api import FULL, ArcticApi, What
from converters.scrape.posts import Post, top
from converters.scrape.spool import Spool
from converters.scrape.things import author_of, fullname, new_salt, post_of
from converters.scrape.ticker import Ticker

_NEVER = 2**40
"""A second that does not come."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be collected."""

    base: str
    """Address of the archive."""
    subreddits: tuple[str, ...]
    kinds: tuple[What, ...]
    after: int = 0
    """Seconds since 1970: from then on."""
    before: int | None = None
    """Seconds since 1970: not from then on."""
    limit: int | None = None
    """Records of each subreddit and kind."""
    comments: int = 0
    """Top comments of each submission."""
    hash_authors: bool = False

    def described(self) -> dict[str, Any]:
        """The job in JSON's types, for the spool."""
        return {
            "source": "arctic",
            "base": self.base,
            "subreddits": list(self.subreddits),
            "kinds": list(self.kinds),
            "after": self.after,
            "before": self.before,
            "limit": self.limit,
            "comments": self.comments,
            "hash_authors": self.hash_authors,
        }


class Place(msgspec.Struct):
    """Where a job is; it lies in the spool's cursor between two pages."""

    target: int = 0
    """Index into subreddits times kinds."""
    start: int | None = None
    """The second of the last thing seen; None at the beginning."""
    known: list[str] = []
    """Fullnames seen in that second; everything before it is done."""
    base: int = 0
    """Records there were when this target began."""
    left_out: int = 0
    """Things that are deleted, removed or no posts."""
    crowded: list[int] = []
    """Seconds that hold more than the archive shows at once."""
    empty: list[str] = []
    """Subreddits that the archive knows nothing of, with the kind."""
    salt: str = ""


class Collector:
    """Works through a job."""

    def __init__(self, api: ArcticApi, spool: Spool, job: Job, ticker: Ticker) -> None:
        self._api = api
        self._spool = spool
        self._job = job
        self._ticker = ticker
        self._place = msgspec.convert(spool.cursor, Place)
        if job.hash_authors and not self._place.salt:
            self._place.salt = new_salt()
        self._author = author_of(self._place.salt)

    def problems(self) -> list[str]:
        """What is missing, in lines for people."""
        return [
            *(f"The archive has nothing of: {what}." for what in self._place.empty),
            *(
                f"Second {second} holds more than the archive shows at once."
                for second in self._place.crowded
            ),
        ]

    def collect(self) -> Place:
        """Collect what is not there yet; the place at the end. The spool is not finished.

        Raises SourceError where the archive cannot be asked, or there is nothing at all.
        """
        place = self._place
        targets = [(name, kind) for name in self._job.subreddits for kind in self._job.kinds]
        if self._spool.count:
            self._ticker.note(f"Going on with {self._spool.count} records from before.")
        for name, kind in targets[place.target :]:
            self._walk(name, kind)
            if place.start is None:
                place.empty.append(f"{kind} of r/{name}")
            place.target += 1
            place.start, place.known, place.base = None, [], self._spool.count
        if not self._spool.count:
            raise SourceError(
                f"The archive has nothing of this: {', '.join(self._job.subreddits)}.",
                "Look at the names and the dates.",
            )
        return place

    def _walk(self, name: str, kind: What) -> None:
        """One kind of one subreddit, from the place on, until a page brings nothing new."""
        while (left := self._left()) != 0:
            fresh = self._fresh(name, kind)
            if not fresh:
                return
            if left is not None:
                fresh = fresh[:left]
            self._take(fresh, kind)
            self._ticker.at(
                f"r/{name}, {kind}: {self._spool.count - self._place.base}"
                f" ({self._spool.count} in all)"
            )

    def _left(self) -> int | None:
        if self._job.limit is None:
            return None
        return max(0, self._job.limit - (self._spool.count - self._place.base))

    def _fresh(self, name: str, kind: What) -> list[dict[str, Any]]:
        """The next things that were not seen yet, oldest first; none is the end."""
        start = self._job.after if self._place.start is None else self._place.start
        rows = self._search(name, kind, start - 1, FULL)
        fresh = sorted(self._unseen(rows), key=_second)
        if fresh or len(rows) < FULL:
            return fresh
        # All of a full page is known: one second holds about a page, or more.
        return (
            self._unseen(self._search(name, kind, start - 1, "auto"))
            or self._from_the_end(name, kind, start)
            or self._later(name, kind, start)
        )

    def _from_the_end(self, name: str, kind: What, second: int) -> list[dict[str, Any]]:
        """What is new in a second, seen from its end; the second is noted if that may not be all.

        What is known is its beginning: if the last page has something known, nothing is between.
        """
        rows = self._search(name, kind, second - 1, FULL, before=second + 1, sort="desc")
        rows = [row for row in reversed(rows) if _second(row) == second]
        fresh = self._unseen(rows)
        if len(fresh) == len(rows) and second not in self._place.crowded:
            self._place.crowded.append(second)
        return fresh

    def _later(self, name: str, kind: What, second: int) -> list[dict[str, Any]]:
        """What comes after a second: one of two questions asks that, whatever `after` means."""
        for skip in (0, 1):
            rows = self._search(name, kind, second + skip, FULL)
            if fresh := self._unseen([row for row in rows if _second(row) > second]):
                return fresh
        return []

    def _search(
        self, name: str, kind: What, after: int, limit: int | str, **more: int | str
    ) -> list[dict[str, Any]]:
        """A page, in the order of the archive; `more` goes over what is usual."""
        said: dict[str, int | str] = {"after": max(0, after), "limit": limit, "sort": "asc"}
        if self._job.before is not None:
            said["before"] = self._job.before
        return self._api.search(kind, **{"subreddit": name} | said | more)

    def _unseen(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        place, job = self._place, self._job
        known = set(place.known)
        start = job.after if place.start is None else place.start
        end = _NEVER if job.before is None else job.before
        return [row for row in rows if fullname(row) not in known and start <= _second(row) < end]

    def _take(self, rows: list[dict[str, Any]], kind: What) -> None:
        """Make records and put them down, with the place."""
        place = self._place
        posts = [post for row in rows if (post := self._post(row, kind))]
        place.left_out += len(rows) - len(posts)
        last = _second(rows[-1])
        if last != place.start:
            place.start, place.known = last, []
        place.known = [*place.known, *(fullname(row) for row in rows if _second(row) == last)]
        self._spool.append(posts, msgspec.to_builtins(place))

    def _post(self, row: dict[str, Any], kind: What) -> Post | None:
        post = post_of(row, self._author, "arctic", escaped=True)
        if post is None or kind == "comments" or not self._job.comments:
            return post
        answers = self._api.search(
            "comments", link_id=post.id, parent_id="", limit=FULL, sort="asc"
        )
        found = [
            answer
            for row in answers
            if (answer := post_of(row, self._author, "arctic", escaped=True))
            and answer.parent == post.id
            and not row.get("stickied")
        ]
        best = top(found, self._job.comments)
        return msgspec.structs.replace(post, comments=best)


def _second(row: dict[str, Any]) -> int:
    """When a thing was created; 0 where it does not say, which no job asks for."""
    try:
        return int(float(row["created_utc"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
