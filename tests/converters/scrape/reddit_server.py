"""A server that behaves like Reddit: tokens that expire, listings with `after`, rate limits.

Its people and their sentences are made up here.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.converters.scrape.web_server import Asked, Fault, LoopbackServer, Reply

CLIENT_ID = "an-app-of-tests"
SECRET = "hush-this-is-the-secret"
_TOKEN = "/api/v1/access_token"


def submission(number: int, subreddit: str = "gardening", **said: Any) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "name": f"t3_s{number}",
        "subreddit": subreddit,
        "created_utc": 1_600_000_000.0 + number,
        "title": f"Question {number} about tomatoes & beans",
        "selftext": f"How do I water plant {number}?\n\nIt has <3 leaves.",
        "score": number % 17,
        "over_18": False,
        "author": f"gardener_{number % 5}",
        "removed_by_category": None,
        "stickied": False,
    } | said


def comment(number: int, thread: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {
        "id": f"c{number}",
        "name": f"t1_c{number}",
        "subreddit": thread["subreddit"],
        "created_utc": 1_600_100_000.0 + number,
        "body": f"Answer {number}: in the morning.",
        "score": number % 7,
        "author": f"helper_{number % 3}",
        "link_id": thread["name"],
        "parent_id": thread["name"],
        "stickied": False,
    } | said


def _listing(kind: str, rows: Sequence[dict[str, Any]], after: str | None) -> dict[str, Any]:
    children: list[dict[str, Any]] = [{"kind": kind, "data": row} for row in rows]
    if kind == "t1":
        children.append({"kind": "more", "data": {"count": 3, "children": ["c9", "c8"]}})
    return {"kind": "Listing", "data": {"after": after, "before": None, "children": children}}


class FakeReddit(LoopbackServer):
    def __init__(self) -> None:
        super().__init__()
        self.subreddits: dict[str, list[dict[str, Any]]] = {}
        """Name in lower case to its submissions, in the order of every listing."""
        self.refusals: dict[str, Reply] = {}
        """Name in lower case to what its listings answer instead."""
        self.comments: dict[str, list[dict[str, Any]]] = {}
        """Id of a submission to its comments."""
        self.rate: tuple[str, str, str] | None = ("900", "1", "100")
        """Headers: remaining, seconds to the reset, used."""
        self.uses = 10**9
        """Requests that a token is good for."""
        self.token_faults: list[Reply] = []
        self.tokens = 0
        self._left = 0
        self.page_size = 100

    def api(self) -> list[Asked]:
        """What was asked, apart from tokens."""
        return [asked for asked in self.asked if asked.path != _TOKEN]

    def fault(self, asked: Asked) -> Fault | None:
        return None if asked.path == _TOKEN else super().fault(asked)

    def answer(self, asked: Asked) -> Reply:
        if asked.path == _TOKEN:
            return self._token(asked)
        if asked.headers.get("authorization") != f"bearer token-{self.tokens}" or not self._left:
            return Reply(
                401, {"message": "Unauthorized", "error": 401},
                {"WWW-Authenticate": 'Bearer realm="reddit", error="invalid_token"'},
            )  # fmt: skip
        self._left -= 1
        reply = self._page(asked)
        if self.rate is None:
            return reply
        names = ("x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-used")
        return Reply(
            reply.status,
            reply.content,
            {**reply.headers, **dict(zip(names, self.rate, strict=True))},
        )

    def _token(self, asked: Asked) -> Reply:
        if self.token_faults:
            return self.token_faults.pop(0)
        basic = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {basic}":
            return Reply(401, {"message": "Unauthorized", "error": 401})
        assert dict(parse_qsl(asked.body))["grant_type"] == "client_credentials"
        self.tokens += 1
        self._left = self.uses
        return Reply(
            200,
            {
                "access_token": f"token-{self.tokens}",
                "token_type": "bearer",
                "expires_in": 86400,
                "scope": "*",
            },
        )

    def _page(self, asked: Asked) -> Reply:
        parts = asked.path.strip("/").split("/")
        assert asked.params["raw_json"] == "1"
        if parts[0] == "r":
            return self._subreddit(parts[1].lower(), parts[2], asked)
        if parts[0] == "comments":
            return self._comments_of(parts[1], asked)
        assert asked.path == "/api/info"
        return self._info(asked.params["id"].split(","))

    def _subreddit(self, name: str, kind: str, asked: Asked) -> Reply:
        if name in self.refusals:
            return self.refusals[name]
        if name not in self.subreddits:
            return Reply(302, b"", {"Location": f"{self.url}/subreddits/search?q={name}"})
        rows = self.subreddits[name]
        if kind == "search":
            rows = [row for row in rows if asked.params["q"] in row["selftext"]]
        start = 0
        if after := asked.params.get("after"):
            names = [row["name"] for row in rows]
            start = names.index(after) + 1 if after in names else len(rows)
        end = start + min(int(asked.params.get("limit", "25")), self.page_size)
        page = rows[start:end]
        return Reply(200, _listing("t3", page, page[-1]["name"] if rows[end:] else None))

    def _comments_of(self, number: str, asked: Asked) -> Reply:
        rows = [row for rows in self.subreddits.values() for row in rows if row["id"] == number]
        if not rows:
            return Reply(404, {"message": "Not Found", "error": 404})
        found = self.comments.get(number, [])
        if asked.params.get("sort") == "top":
            found = sorted(found, key=lambda row: (not row["stickied"], -row["score"]))
        found = found[: int(asked.params["limit"])]
        return Reply(200, [_listing("t3", rows, None), _listing("t1", found, None)])

    def _info(self, names: list[str]) -> Reply:
        assert len(names) <= 100
        known = [row for rows in self.subreddits.values() for row in rows]
        known += [row for rows in self.comments.values() for row in rows]
        by_name = {row["name"]: row for row in known}
        children = [{"kind": name[:2], "data": by_name[name]} for name in names if name in by_name]
        return Reply(200, {"kind": "Listing", "data": {"after": None, "children": children}})


def write_praw_ini(server: FakeReddit, secret: str = SECRET, folder: Path | None = None) -> Path:
    """Lead PRAW to the server; the site "ours" has the credentials."""
    path = (folder or Path(os.environ["XDG_CONFIG_HOME"])) / "praw.ini"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"[DEFAULT]\noauth_url={server.url}\nreddit_url={server.url}\n"
        f"[ours]\nclient_id={CLIENT_ID}\nclient_secret={secret}\n"
    )
    return path
