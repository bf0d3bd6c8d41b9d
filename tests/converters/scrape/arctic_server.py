"""A server that behaves like the search of the Arctic Shift archive."""

from __future__ import annotations

from typing import Any

from tests.converters.scrape.web_server import Asked, LoopbackServer, Reply


class FakeArctic(LoopbackServer):
    def __init__(self, *, inclusive: bool = False, auto: int = 300) -> None:
        super().__init__()
        self.posts: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.inclusive = inclusive
        """Whether `after` means "from"."""
        self.heeds_after = True
        self.auto = auto
        """How many results limit=auto gives."""

    def answer(self, asked: Asked) -> Reply:
        rows = {"/api/posts/search": self.posts, "/api/comments/search": self.comments}[asked.path]
        said = dict(asked.params)
        limit = self.auto if said["limit"] == "auto" else int(said["limit"])
        if said["limit"] != "auto" and not 1 <= limit <= 100:
            return Reply(400, {"data": None, "error": "'limit' must be at most 100"})
        if "subreddit" in said:
            name = said["subreddit"].lower()
            rows = [row for row in rows if row["subreddit"].lower() == name]
        if "link_id" in said:
            rows = [row for row in rows if row["link_id"] == said["link_id"]]
        if said.get("parent_id") == "":
            rows = [row for row in rows if row["parent_id"] == row["link_id"]]
        after = int(said.get("after", -1)) if self.heeds_after else -1
        rows = [row for row in rows if row["created_utc"] >= after + (not self.inclusive)]
        if "before" in said:
            rows = [row for row in rows if row["created_utc"] < int(said["before"])]
        rows = sorted(rows, key=lambda row: row["created_utc"])
        if said["sort"] == "desc":
            rows.reverse()
        return Reply(200, {"data": rows[:limit]}, {"X-RateLimit-Remaining": "500"})
