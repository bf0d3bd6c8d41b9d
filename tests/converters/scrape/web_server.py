"""A real HTTP server on loopback with faults on demand; what it says is up to its subclasses."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Reply:
    status: int = 200
    content: Any = None
    """JSON; bytes go out as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(self.content).encode()


@dataclass(frozen=True)
class Drop:
    """Closes the connection instead of answering, or in the middle of the body."""

    half: bool = False


@dataclass(frozen=True)
class Stall:
    """Says nothing for a while, then answers."""

    seconds: float


Fault = Reply | Drop | Stall


class LoopbackServer:
    """Serves `answer` from threads of its own; a context."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.mistakes: list[BaseException] = []
        self.faults: deque[Fault | None] = deque()
        """One for each request to come; None is none."""
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._serving = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Any:
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._serving.join(10)
        assert not self.mistakes, self.mistakes

    def answer(self, asked: Asked) -> Reply:
        raise NotImplementedError

    def fault(self, asked: Asked) -> Fault | None:
        return self.faults.popleft() if self.faults else None

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    owner: LoopbackServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed are part of the tests; anything else is a mistake in them."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.owner.mistakes.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        parts = urlsplit(self.path)
        asked = Asked(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length).decode(),
        )
        owner = self.server.owner
        owner.asked.append(asked)
        fault = owner.fault(asked)
        if isinstance(fault, Stall):
            time.sleep(fault.seconds)
        reply = fault if isinstance(fault, Reply) else owner.answer(asked)
        self._send(reply, fault if isinstance(fault, Drop) else None)

    def do_POST(self) -> None:
        self.do_GET()

    def _send(self, reply: Reply, drop: Drop | None) -> None:
        body = reply.encoded()
        if drop is None or drop.half:
            head = [f"HTTP/1.1 {reply.status} X", f"Content-Length: {len(body)}"]
            head += [f"{name}: {value}" for name, value in reply.headers.items()]
            if self.close_connection:
                head.append("Connection: close")
            sent = body if drop is None else body[: len(body) // 2]
            self.wfile.write("\r\n".join([*head, "", ""]).encode() + sent)
        if drop is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
