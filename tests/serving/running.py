"""The service as a process of its own, an upstream server for it, and one inside the test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import psutil

from oa_chat.serving.app import ServiceSetup, build_app
from oa_chat.serving.listener import Address, open_socket, serve

SEED = "I think all white people are racists"
CRISIS = "I want to kill myself tonight"


@dataclass
class Service:
    """`oa-chat serve-guard` on a free port."""

    process: subprocess.Popen[str]
    url: str
    port: int
    log: list[str]
    http: httpx2.Client

    def engines(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "oa_chat.engine.worker" in child.cmdline()]

    def post(self, path: str, body: Any, **named: Any) -> httpx2.Response:
        return self.http.post(self.url + path, json=body, **named)

    def chat(self, *texts: str, **named: Any) -> httpx2.Response:
        messages = [{"role": "user", "content": text} for text in texts]
        return self.post("/v1/chat/completions", {"messages": messages, **named})

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@contextmanager
def service(*arguments: str, **environment: str) -> Iterator[Service]:
    command = [sys.executable, "-m", "oa_chat", "serve-guard", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert process.stderr is not None
    log: list[str] = []
    reader: threading.Thread | None = None
    try:
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"Listening on (http://.*:(\d+))/v1", line):
                break
        else:
            raise AssertionError("".join(log))
        lines = process.stderr
        reader = threading.Thread(target=lambda: log.extend(lines), daemon=True)
        reader.start()
        with httpx2.Client(timeout=60) as http:
            yield Service(process, found[1], int(found[2]), log, http)
    finally:
        process.kill()
        process.wait()
        if reader is not None:
            reader.join(5)
        process.stderr.close()


@dataclass
class Upstream:
    """A chat server: keeps what it received, and answers as it is told to."""

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=lambda: ["Good ", "morning."])
    status: int = 200
    error: bytes = b'{"error":{"message":"no"}}'
    raw: bytes | None = None
    """Sent in place of an answer."""
    pause: float = 0.0
    broken: threading.Event = field(default_factory=threading.Event)
    """The other side went away while this one wrote."""


@contextmanager
def upstream() -> Iterator[Upstream]:  # noqa: C901 - a handler knows its server by closure
    told = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, "application/json", b'{"data":[{"id":"big-model"}]}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.received.append(body)
            told.headers.append({key.lower(): value for key, value in self.headers.items()})
            if told.status != 200:
                self._send(told.status, "application/json", told.error)
            elif told.raw is not None:
                self._send(200, "application/json", told.raw)
            elif body["stream"]:
                self._stream()
            else:
                message = {"role": "assistant", "content": "".join(told.pieces)}
                usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                answer = {"choices": [choice], "usage": usage}
                self._send(200, "application/json", json.dumps(answer).encode())

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            try:
                for piece in told.pieces:
                    self._event({"choices": [{"delta": {"content": piece}}]})
                    threading.Event().wait(told.pause)
                self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                told.broken.set()

        def _event(self, body: dict[str, Any]) -> None:
            self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("retry-after", "7")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


@asynccontextmanager
async def serving(setup: ServiceSetup) -> AsyncIterator[httpx2.AsyncClient]:
    """The service in the test's own process, on a real socket, ended by a real signal."""
    opened = open_socket(Address("127.0.0.1", 0))
    url = f"http://127.0.0.1:{opened.getsockname()[1]}"
    running = asyncio.create_task(serve(build_app(setup), opened))
    async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
        for _ in range(200):
            try:
                await client.get("/health")
                break
            except httpx2.ConnectError:
                await asyncio.sleep(0.02)
        yield client
    if not running.done():
        os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 15)


def events(text: str) -> list[Any]:
    """The bodies of a stream's events; the mark at the end is the text ``[DONE]``."""
    datas = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def content(chunks: list[Any]) -> str:
    """The text that a stream's chunks add up to."""
    choices = [choice for chunk in chunks if chunk != "[DONE]" for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
