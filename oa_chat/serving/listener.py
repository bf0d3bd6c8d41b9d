"""The socket and the server on it: time limits, bounds and a quick end.

uvicorn runs the application; what it leaves open is closed here. A client that sends its header too
slowly, or does not read what it gets, is cut off; so is one beyond the number that may connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h11
import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from oa_chat.errors import UsageError
from oa_chat.serving.refusal import error_body, invalid

_HEADER_SECONDS = 10.0
_STALLED_SECONDS = 30.0
"""How long a client may leave what was sent to it unread."""
_IDLE_SECONDS = 15
_HEADER_BYTES = 16_384
_CONNECTIONS = 512
_GRACE_SECONDS = 4
"""What running requests have to finish in when the server is told to end."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    """An IP address."""
    port: int
    """0 takes a free one."""

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return ipaddress.ip_address(self.host).is_loopback


def address_of(host: str, port: int, *, token: bool) -> Address:
    """The address. Raises UsageError for a name, and beyond loopback if there is no token."""
    try:
        address = Address("127.0.0.1" if host == "localhost" else host, port)
        loopback = address.loopback
    except ValueError as error:
        hint = "Give an IP address: 127.0.0.1 for this machine, 0.0.0.0 for every interface."
        raise UsageError(f"--host {host!r} is not an IP address.", hint) from error
    if not loopback and not token:
        raise UsageError(
            f"Listening on {host} lets other machines in, and that needs a token.",
            "Put a secret of at least 16 characters into a file and name it with --token-file, or"
            " set OA_CHAT_SERVE_TOKEN; or leave out --host to listen on this machine only.",
        )
    return address


def open_socket(address: Address) -> socket.socket:
    """A listening socket. Raises UsageError if the port is taken or may not be used."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it, an answer of
    # two segments waits for a delayed acknowledgement: 44 ms in place of 1.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address.host, address.port))
        opened.listen(_CONNECTIONS)  # who connects from now on waits until the server runs
    except OSError as error:
        opened.close()
        raise UsageError(
            f"Cannot listen on {address.host} port {address.port}: {error.strerror}.",
            "Choose another --port; 0 takes a free one.",
        ) from error
    return opened


async def serve(app: ASGIApp, opened: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then end within seconds."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    await _Server(config).serve(sockets=[opened])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order at a signal; unlike uvicorn, without raising it again afterwards."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Protocol(H11Protocol):
    """A connection with limits."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._header: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > _CONNECTIONS:
            transport.abort()
            return
        self._await_header()

    def data_received(self, data: bytes) -> None:
        """Take data; the header that it may begin has its time limit."""
        if self.conn.their_state is h11.IDLE:
            self._await_header()
        super().data_received(data)

    def handle_events(self) -> None:
        """Go through what has come; a header that is complete needs no limit any more."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE and self._header is not None:
            self._header.cancel()
            self._header = None

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(_STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._unset_stalled()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the limits."""
        super().connection_lost(exc)
        if self._header is not None:
            self._header.cancel()
        self._unset_stalled()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the shape of all our errors."""
        body = msgspec.json.encode(error_body(invalid(msg, code="not_http")))
        headers = [("content-type", "application/json"), ("connection", "close")]
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_header(self) -> None:
        if self._header is None:
            self._header = self.loop.call_later(_HEADER_SECONDS, self.transport.abort)

    def _unset_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
