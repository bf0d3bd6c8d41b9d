"""What a connection may do to us: send too much, too slowly, or go away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from oa_chat.serving.refusal import HttpRefusal

_T = TypeVar("_T")
MOST_BYTES = 2_000_000
"""Of a body. The guard judges about two million characters at most."""
_READ_ON = 8 * MOST_BYTES
"""What is read and thrown away of a body that is too large: a client that still sends does not read
the answer."""
_BODY_SECONDS = 15.0
_CLOSE = {"connection": "close"}


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def read_json_body(request: Request) -> bytes:
    """The body of a request. Raises HttpRefusal: 415 for another type, 413, or 408 if it is slow.

    The type is required because a web page can send anything but JSON to this machine unasked.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpRefusal(
            415, "Send JSON, with the header Content-Type: application/json.", headers=_CLOSE
        )
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _read(request)
    except TimeoutError:
        message = f"The body took longer than {_BODY_SECONDS:.0f} seconds."
        raise HttpRefusal(408, message, code="too_slow", headers=_CLOSE) from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    size = 0
    more = True
    while more and size <= _READ_ON:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        part = message.get("body", b"")
        size += len(part)
        if size <= MOST_BYTES:
            body += part
    if size > MOST_BYTES:
        said = f"The body is too large: at most {MOST_BYTES:,} bytes."
        raise HttpRefusal(413, said, code="too_large", headers=_CLOSE)
    return bytes(body)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of some work; if the client goes away, the work is cancelled: ClientGone.

    The body must have been read: whatever comes then is the end of the connection.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        await _end(task)
        await _end(gone)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
