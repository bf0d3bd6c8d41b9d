"""Collects the submissions of subreddits, page by page, with their top comments.

Each page goes to the spool with the place to go on from, so a run can end at any point. This
module does not wait, retry or authenticate (`pacing`, `web`, `reddit_api`) and does not write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from converters.errors import SourceError
from converters.scrape.posts import Post, top
from converters.scrape.reddit_api import RedditApi, Unavailable, things
from converters.scrape.spool import Spool
from converters.scrape.things import AuthorOf, author_of, fullname, new_salt, post_of
from converters.scrape.ticker import Ticker

Listing = Literal["hot", "top", "rising", "new", "search"]

_TRAIL = 32
"""Fullnames kept to go on from, in case the last one leaves the listing."""
_STEP = 10
"""Submissions between two checkpoints where each one costs a request for its comments."""
_MOST_COMMENTS = 500
"""Reddit answers with no more."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be collected."""

    subreddits: tuple[str, ...]
    listings: tuple[Listing, ...]
    time: str = "all"
    """Of top and search: hour, day, week, month, year or all."""
    query: str = ""
    limit: int | None = None
    """Submissions of each listing; None is as many as Reddit shows (about 1,000)."""
    comments: int = 0
    """Top comments of each submission."""
    hash_authors: bool = False

    def described(self) -> dict[str, Any]:
        """The job in JSON's types, for the spool."""
        return {
            "source": "reddit",
            "subreddits": list(self.subreddits),
            "listings": list(self.listings),
            "time": self.time,
            "query": self.query,
            "limit": self.limit,
            "comments": self.comments,
            "hash_authors": self.hash_authors,
        }


class Place(msgspec.Struct):
    """Where a job is; it lies in the spool's cursor between two pages."""

    target: int = 0
    """Index into subreddits times listings."""
    after: str = ""
    """Fullname of the last submission that was looked at, in this listing."""
    trail: list[str] = []
    """The last fullnames up to `after`."""
    base: int = 0
    """Records there were when this listing began."""
    restarted: bool = False
    """Whether this listing was begun again, as nothing of the trail was left in it."""
    left_out: int = 0
    """Submissions that are deleted or removed."""
    failed: dict[str, str] = {}
    """Subreddits that cannot be read, with the reason."""
    salt: str = ""


class Collector:
    """Works through a job."""

    def __init__(self, api: RedditApi, spool: Spool, job: Job, ticker: Ticker) -> None:
        self._api = api
        self._spool = spool
        self._job = job
        self._ticker = ticker
        self._place = msgspec.convert(spool.cursor, Place)
        if job.hash_authors and not self._place.salt:
            self._place.salt = new_salt()
        self._author: AuthorOf = author_of(self._place.salt)

    def problems(self) -> list[str]:
        """What is missing, in lines for people."""
        failed = self._place.failed.items()
        return [f"Not read: r/{name}: {reason}." for name, reason in failed]

    def collect(self) -> Place:
        """Collect what is not there yet; the place at the end. The spool is not finished.

        Raises SourceError where Reddit cannot be asked, or there is nothing at all.
        """
        place = self._place
        targets = [(name, kind) for name in self._job.subreddits for kind in self._job.listings]
        if place.target and place.target < len(targets):
            self._ticker.note(f"Going on with {self._spool.count} records from before.")
        for name, kind in targets[place.target :]:
            if name not in place.failed:
                try:
                    self._walk(name, kind)
                except Unavailable as reason:
                    place.failed[name] = str(reason)
                    self._ticker.note(f"r/{name} is left out: {reason}.")
            self._next_target()
        if not self._spool.count:
            reasons = [f"r/{name}: {reason}" for name, reason in place.failed.items()]
            raise SourceError(
                f"There is nothing to collect. {'; '.join(reasons)}".strip(),
                "Look at the names, the listing and the query.",
            )
        return place

    def _next_target(self) -> None:
        place = self._place
        place.target += 1
        place.after, place.trail, place.restarted = "", [], False
        place.base = self._spool.count

    def _walk(self, name: str, kind: Listing) -> None:
        """One listing of one subreddit, from the place on."""
        while not self._full():
            before = self._place.after
            children, after = self._page(name, kind)
            while children and not self._full():
                step = self._step()
                self._take(children[:step])
                children = children[step:]
                self._ticker.at(
                    f"r/{name}, {kind}: {self._spool.count - self._place.base} submissions"
                    f" ({self._spool.count} in all)"
                )
            if (
                not after or self._place.after == before
            ):  # the end, or a server that goes in circles
                return

    def _full(self) -> bool:
        return self._left() == 0

    def _left(self) -> int | None:
        if self._job.limit is None:
            return None
        return max(0, self._job.limit - (self._spool.count - self._place.base))

    def _step(self) -> int:
        """How many submissions go into the next checkpoint: never more than the limit leaves."""
        most = _STEP if self._job.comments else 100
        left = self._left()
        return most if left is None else max(1, min(most, left))

    def _take(self, children: Sequence[dict[str, Any]]) -> None:
        """Make records of submissions and put them down, with the place."""
        place = self._place
        posts = [post for child in children if (post := self._post(child))]
        place.left_out += len(children) - len(posts)
        names = [name for child in children if (name := fullname(child))]
        if names:
            place.after = names[-1]
            place.trail = [*place.trail, *names][-_TRAIL:]
        self._spool.append(posts, msgspec.to_builtins(place))

    def _page(self, name: str, kind: Listing) -> tuple[list[dict[str, Any]], str]:
        """The next page; one without submissions is the end.

        Reddit answers with nothing if the submission to go on after has left the listing
        meanwhile. Then earlier ones are tried, and at last the listing begins again: the spool
        drops what it has.
        """
        place = self._place
        children, after = self._asked(name, kind, place.after)
        if children or not place.after:
            return children, after
        trail = place.trail
        for back in (2, 4, 8, 16, _TRAIL):
            if back > len(trail):
                break
            children, after = self._asked(name, kind, trail[-back])
            if children:
                fresh = [child for child in children if fullname(child) not in trail]
                return fresh, after if fresh else ""
        if place.restarted:
            return [], ""
        place.restarted = True
        self._ticker.note(f"r/{name}: the listing has changed, it is gone through again.")
        return self._asked(name, kind, "")

    def _asked(self, name: str, kind: Listing, after: str) -> tuple[list[dict[str, Any]], str]:
        job = self._job
        said: dict[str, str | int | None] = {"after": after}
        if kind in ("top", "search"):
            said["t"] = job.time
        if kind == "search":
            said |= {"q": job.query, "restrict_sr": "on", "include_over_18": "on"}
        return self._api.listing(f"r/{name}/{kind}", **said)

    def _post(self, child: dict[str, Any]) -> Post | None:
        post = post_of(child, self._author, "reddit")
        if post is None or not self._job.comments or post.id in self._spool:
            return post
        return msgspec.structs.replace(post, comments=self._comments(post))

    def _comments(self, post: Post) -> list[Post]:
        """The best direct answers to a submission; what moderators pinned is not among them."""
        asked = min(_MOST_COMMENTS, 2 * self._job.comments + 10)
        try:
            page = self._api.get(
                f"comments/{post.id.removeprefix('t3_')}", sort="top", depth=1, limit=asked
            )
        except Unavailable:
            return []
        if not isinstance(page, list) or len(page) < 2:
            return []
        found = [
            comment
            for child in things(page[1])
            if not child.get("stickied") and child.get("parent_id") == post.id
            if (comment := post_of(child, self._author, "reddit"))
        ]
        return top(found, self._job.comments)
