"""Reddit's API through PRAW: JSON in, and every failure as one of two errors.

`Unavailable` means one subreddit; a SourceError ends the run. PRAW does tokens and their renewal;
its object model is not used, as an attribute that is missing there is a request of its own. No
error holds what was sent.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from converters.errors import SourceError
from converters.scrape.pacing import RERUN
from oa_chat.errors import OaChatError

_TOKEN_PATH = "/api/v1/access_token"
_REASONS = {
    "private": "it is private",
    "quarantined": "it is quarantined: only logged-in people who opted in can see it",
    "gold_only": "it is for premium members only",
    "banned": "it is banned",
}
_BATCH = 100
"""Fullnames that ``/api/info`` takes at once."""


class Unavailable(Exception):
    """A subreddit cannot be read; the text says why."""


class RedditApi:
    """Asks Reddit, reading only."""

    def __init__(self, reddit: Any) -> None:
        self._reddit = reddit

    def get(self, path: str, **params: str | int | None) -> Any:
        """The JSON of a page. Raises Unavailable or SourceError."""
        given = {name: value for name, value in params.items() if value not in (None, "")}
        try:
            return self._reddit.request(method="GET", path=path, params=given)
        except OaChatError:
            raise
        except Exception as failure:  # noqa: BLE001 - prawcore stumbles over odd answers in many ways
            trouble = _trouble(failure)
        # Outside of the handler: a traceback must not lead to what was sent.
        raise trouble

    def listing(self, path: str, **params: str | int | None) -> tuple[list[dict[str, Any]], str]:
        """The things of a page of a listing (their `data`), and the fullname to go on after."""
        page = self.get(path, limit=_BATCH, **params)
        return things(page), _after(page)

    def info(self, fullnames: list[str]) -> dict[str, dict[str, Any]]:
        """What Reddit says of at most 100 things, by fullname; unknown ones are missing.

        Raises SourceError.
        """
        try:
            found = things(self.get("api/info", id=",".join(fullnames)))
        except Unavailable as reason:
            problem = f"Reddit does not tell about single posts: {reason}."
            raise SourceError(problem, "Perhaps the app was not approved for it.") from None
        return {str(thing["name"]): thing for thing in found if "name" in thing}


def things(page: Any) -> list[dict[str, Any]]:
    """The `data` of a listing's submissions and comments. Raises SourceError for no listing."""
    try:
        return [
            child["data"] for child in page["data"]["children"] if child["kind"] in ("t1", "t3")
        ]
    except (KeyError, TypeError):
        raise SourceError("Reddit answered with something that is no listing.", RERUN) from None


def _after(page: Any) -> str:
    after = page["data"].get("after")
    return after if isinstance(after, str) and re.fullmatch(r"t\d_\w{1,20}", after) else ""


def _trouble(failure: Exception) -> Exception:
    """What a failure of PRAW's means, in words of ours."""
    import prawcore

    response = getattr(failure, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(failure, prawcore.exceptions.OAuthException):
        return _no_token("it says that they do not go together")
    if isinstance(failure, prawcore.exceptions.Redirect):
        return Unavailable("there is no such subreddit")
    if isinstance(failure, prawcore.exceptions.InsufficientScope):
        return SourceError("The app may not read listings.", 'It needs Reddit\'s scope "read".')
    if response is None or status is None:
        return SourceError(
            f"Reddit answered with something unexpected ({type(failure).__name__}).", RERUN
        )
    if urlsplit(str(response.url)).path == _TOKEN_PATH:
        return _no_token(f"status {status}")
    if status == 401:
        return _no_token("status 401, with a new token too")
    return Unavailable(_reason(response, status))


def _reason(response: Any, status: int) -> str:
    try:
        said = response.json().get("reason")
    except (ValueError, AttributeError):
        said = None
    if said in _REASONS:
        return _REASONS[said]
    if status == 404:
        return "there is no such subreddit"
    if status == 451:
        return "it is not available here for legal reasons"
    return f"Reddit refuses it (status {status})"


def _no_token(why: str) -> SourceError:
    return SourceError(
        f"Reddit refuses the credentials: {why}.",
        "Compare client_id and client_secret with the app's page on Reddit; a script or web app "
        "has both. What was collected is kept.",
    )
