"""The HTTP client that PRAW and the archive share: prawcore's `Requestor`, at our pace.

It stands in the requestor's place (`praw.Reddit(requestor_class=...)`), so that waits are shown,
every failure is tried again by one rule, and no error carries what was sent: prawcore's exceptions
hold the arguments of the request, with password and secret in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from converters.errors import SourceError
from converters.scrape.pacing import Answer, Pace, Unanswered

_OAUTH_ERRORS = ("insufficient_scope", "invalid_token")


class PacedRequestor:
    """A `prawcore.Requestor`, by what PRAW uses of one."""

    def __init__(self, inner: Any, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace
        self.oauth_url: str = inner.oauth_url
        self.reddit_url: str = inner.reddit_url

    def request(self, method: str, url: str, **said: Any) -> Any:
        """A `requests.Response`, of any status that trying again would not change.

        Raises SourceError where there is none.
        """

        def send() -> Any:
            return _sent(self._inner, method, url, said)

        return self._pace.ask(urlsplit(url).hostname or "the server", send, _fault)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def requestors(pace: Pace) -> Callable[..., PacedRequestor]:
    """What PRAW calls to make its requestor."""
    from prawcore import Requestor

    return lambda **said: PacedRequestor(Requestor(**said), pace)


def _sent(inner: Any, method: str, url: str, said: dict[str, Any]) -> Answer:
    from prawcore import RequestException

    try:
        response = inner.request(method, url, **said)
    except RequestException as failure:
        cause = failure.original_exception
    else:
        headers = {name.lower(): value for name, value in response.headers.items()}
        _tidy(response)
        return Answer(response.status_code, headers, response)
    # Outside of the handler: a traceback must not lead to the arguments of the request.
    raise _trouble(urlsplit(url).hostname or "the server", cause)


def _trouble(server: str, cause: Exception) -> Exception:
    """A failure to get an answer, in words that hold nothing of what was sent."""
    names = {kind.__name__ for kind in type(cause).__mro__}
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return SourceError(
            f"The certificate of {server} cannot be trusted.",
            "Something between here and there may be reading along.",
        )
    if "OSError" not in names or "ValueError" in names:
        return SourceError(
            f"The request to {server} cannot be sent ({type(cause).__name__}).",
            "Look for unusual characters in the credentials and the user agent.",
        )
    if "Timeout" in names:
        return Unanswered("did not answer in time")
    if "NameResolutionError" in str(cause):
        return Unanswered("is not found: is there a network?")
    return Unanswered("cannot be reached, or dropped the connection")


def _tidy(response: Any) -> None:
    """Take from an answer what prawcore would stumble over, or wait for by itself."""
    headers = response.headers
    for name in ("x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-used"):
        headers.pop(name, None)
    challenge = headers.get("www-authenticate", "").replace('"', "")
    if challenge.rpartition("=")[2] not in _OAUTH_ERRORS:
        headers.pop("www-authenticate", None)
        if response.status_code == 401:
            headers["www-authenticate"] = 'error="invalid_token"'
    if response.status_code in (301, 302):
        headers.setdefault("location", "/")


def _fault(response: Any) -> str:
    """What is wrong with an answer that may be better next time."""
    if response.status_code == 422 and b"timeout" in response.content[:500].lower():
        return "is overloaded"  # the archive's way to say 503
    if response.status_code == 200:
        try:
            response.json()
        except (ValueError, RecursionError):
            return "answered with something that is not JSON"
    return ""
