"""Who may come in: the names this server answers to, and the token. And what the log says of it.

The Host header is checked against DNS rebinding: a web page whose name leads to this machine is
still sent with its own name. The log has the endpoint, never a text, a name or a query.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oa_chat.serving.connection import ClientGone
from oa_chat.serving.refusal import HttpRefusal, as_refusal, error_body

ENDPOINTS = ("/v1/moderations", "/v1/chat/completions", "/v1/models", "/health")
_OPEN = "/health"
"""Says nothing but whether the service works, so whoever watches it needs no token."""
_CLOSE = {"connection": "close"}
_log = logging.getLogger("oa_chat.serving")


@dataclass(frozen=True, slots=True)
class Entry:
    """Who may come in."""

    token: str = ""
    """Empty lets everybody in that reaches the socket."""
    hosts: frozenset[str] = frozenset()
    """Names and addresses that a request may be for; empty is any."""


class Door:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, entry: Entry) -> None:
        self._app = app
        self._hosts = entry.hosts
        self._token = _digest(entry.token) if entry.token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here; then log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, noted)
        except ClientGone:
            pass
        except Exception as error:
            refusal = as_refusal(error)
            if refusal.code == "bug":
                _log.error("bug: %s", type(error).__name__)
                _log.debug("where", exc_info=error)
            if status:
                raise
            await send_error(refusal, noted)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            path = scope["path"] if scope["path"] in ENDPOINTS else "elsewhere"
            action = scope.get("oa_chat.action", "")
            said = status or "gone"
            _log.info("%s %s %.0f ms %s", path, said, milliseconds, action)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._hosts and not is_named(headers.getlist("host"), self._hosts):
            raise HttpRefusal(
                403,
                "This server does not answer to that name: use 127.0.0.1 or localhost.",
                code="wrong_host",
                headers=_CLOSE,
            )
        if not self._token or scope["path"] == _OPEN:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(_digest(given.strip()), self._token)
        if kind.lower() != "bearer" or not right:
            raise HttpRefusal(
                401,
                "This server wants its token: Authorization: Bearer TOKEN.",
                code="wrong_token",
                headers={"www-authenticate": "Bearer", **_CLOSE},
            )


async def send_error(refusal: HttpRefusal, send: Send) -> None:
    """Answer with an error."""
    body = msgspec.json.encode(error_body(refusal))
    own = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    kind = (b"content-type", b"application/json")
    size = (b"content-length", str(len(body)).encode())
    status = refusal.status
    await send({"type": "http.response.start", "status": status, "headers": [kind, size, *own]})
    await send({"type": "http.response.body", "body": body})


def is_named(said: list[str], hosts: Iterable[str]) -> bool:
    """Whether the Host headers (exactly one) name one of the hosts, with whatever port."""
    if len(said) != 1:
        return False
    try:
        parts = urlsplit(f"//{said[0]}")
        return parts.netloc == said[0] and "@" not in said[0] and (parts.hostname or "") in hosts
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    """Of one length, so that comparing takes the same time for every token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
