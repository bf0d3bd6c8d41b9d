"""Errors as HTTP, in the shape that OpenAI's clients read.

The shape is ``{"error": {"message", "type", "param", "code"}}`` (OpenAI's API reference, "Error
codes"). Messages say what is wrong and never repeat the text that was sent.
"""

from __future__ import annotations

from typing import Any

from oa_chat.errors import ContextFull, GuardError, OaChatError
from oa_chat.printable import printable

_MOST = 500
"""Characters of a message: some quote what another server said."""
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class HttpRefusal(OaChatError):
    """A request that is answered with an HTTP error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str = "",
        code: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        """The key of the request that is wrong, such as ``messages[0].role``."""
        self.code = code
        """A word for programs, such as ``queue_full``."""
        self.headers = headers or {}


def invalid(message: str, param: str = "", code: str = "") -> HttpRefusal:
    """A request that makes no sense (400)."""
    return HttpRefusal(400, message, param=param, code=code)


def busy(what: str, seconds: int) -> HttpRefusal:
    """A full queue (429), with when to try again."""
    return HttpRefusal(
        429,
        f"Too much is waiting for {what}. Try again in {seconds} s.",
        code="queue_full",
        headers={"retry-after": str(seconds)},
    )


def as_refusal(error: Exception) -> HttpRefusal:
    """Any error as one that a client can be told about. Bugs keep their details to themselves."""
    if isinstance(error, HttpRefusal):
        return error
    if isinstance(error, ContextFull):
        return HttpRefusal(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, GuardError):
        return HttpRefusal(503, str(error), code="guard_failed")
    if isinstance(error, OaChatError):
        return HttpRefusal(503, str(error), code="model_failed")
    return HttpRefusal(500, "Something unexpected went wrong in oa-chat.", code="bug")


def error_body(refusal: HttpRefusal) -> dict[str, Any]:
    """The JSON body of an error."""
    kind = _TYPES.get(refusal.status)
    if kind is None:
        kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": printable(refusal.message)[:_MOST],
            "type": kind,
            "param": refusal.param or None,
            "code": refusal.code or None,
        }
    }
