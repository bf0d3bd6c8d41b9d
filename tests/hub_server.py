"""A server on loopback that speaks the Hugging Face hub's protocol, with all its ways to fail.

It answers HEAD and GET of ``/owner/name/resolve/revision/file`` as the hub does for large files: a
redirect to a second server (the CDN) with commit, size and checksum in headers. Small files, with
git's checksum, come directly. What goes wrong is said on each `Served`.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "c0ffee" * 6 + "c0ff"
_PATH = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Served:
    """A file, and how it is served."""

    content: bytes
    small: bool = False
    """Without LFS: git's checksum, and no redirect."""
    size: int | None = None
    """What the hub says, if it lies."""
    checksum: str | None = None
    sent: bytes | None = None
    """What the CDN sends, if it is not the content."""
    breaks: list[int] = field(default_factory=list)
    """After how many bytes the connections break, one after the other."""
    ranges: bool = True
    """Whether the CDN knows ranges."""
    chunked: bool = False
    """Without a Content-Length."""
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Answers that come first, one a request, at the CDN."""
    pause: float = 0
    """Seconds between two pieces of 64 KiB."""
    stalls: list[float] = field(default_factory=list)
    """Seconds of silence before the first byte, one after the other."""
    error: tuple[int, dict[str, str]] | None = None
    """The hub's answer in place of the file."""

    @property
    def etag(self) -> str:
        if self.checksum is not None:
            return self.checksum
        if self.small:
            head = b"blob %d\0" % len(self.content)
            return hashlib.sha1(head + self.content).hexdigest()
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str
    authorization: str
    cdn: bool


class HubServer:
    """Two servers on loopback, until `close`."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        """By ``owner/name/file``."""
        self.moved: dict[str, str] = {}
        """Repositories that have another name now."""
        self.requests: list[Request] = []
        self.bytes_sent = 0
        self._cdn = _Server(_Cdn, self)
        self._hub = _Server(_Hub, self)
        self.url = self._hub.url
        self.cdn_url = self._cdn.url

    def close(self) -> None:
        self._hub.stop()
        self._cdn.stop()

    def gets(self) -> list[Request]:
        """What was asked of the CDN."""
        return [one for one in self.requests if one.cdn]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[BaseHTTPRequestHandler], state: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.state = state
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cdn = False
    server: _Server

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        said = self.headers
        self.server.state.requests.append(
            Request(
                self.command,
                self.path,
                said.get("Range", ""),
                said.get("Authorization", ""),
                self.cdn,
            )
        )
        with contextlib.suppress(ConnectionError):
            self.answer()

    def answer(self) -> None:
        raise NotImplementedError

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_content(self, served: Served, headers: dict[str, str]) -> None:
        content = served.content if served.sent is None else served.sent
        start, status = 0, 200
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match and served.ranges:
            start, status = int(match[1]), 206
            if start >= len(content):
                self.reply(416, {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        time.sleep(served.stalls.pop(0) if served.stalls else 0)
        rest = content[start:]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if served.chunked:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        most = served.breaks.pop(0) if served.breaks else len(rest)
        for at in range(0, min(most, len(rest)), 2**16):
            piece = rest[at : min(at + 2**16, most)]
            self.wfile.write(piece)
            self.server.state.bytes_sent += len(piece)
            time.sleep(served.pause)
        if most < len(rest):
            self.close_connection = True
            self.connection.close()


class _Hub(_Handler):
    def answer(self) -> None:
        match = _PATH.fullmatch(unquote(self.path))
        if match and match[1] in self.server.state.moved:
            now = self.server.state.moved[match[1]]
            self.reply(307, {"Location": f"/{now}/resolve/{match[2]}/{match[3]}"})
            return
        served = self.server.state.files.get(f"{match[1]}/{match[3]}") if match else None
        if match is None or served is None:
            repos = {name.rsplit("/", 1)[0] for name in self.server.state.files}
            code = "EntryNotFound" if match and match[1] in repos else "RepoNotFound"
            status = 404 if code == "EntryNotFound" else 401
            self.reply(status, {"X-Error-Code": code, "X-Error-Message": "\x1b[31mnot here"})
            return
        if served.error is not None:
            self.reply(served.error[0], served.error[1])
            return
        if match[2] not in ("main", COMMIT):
            self.reply(404, {"X-Error-Code": "RevisionNotFound"})
            return
        headers = {"X-Repo-Commit": COMMIT}
        if served.small:
            headers["ETag"] = f'"{served.etag}"'
            if self.command == "HEAD":
                self.reply(200, headers | {"Content-Length": str(len(served.content))})
            else:
                self.send_content(served, headers)
            return
        size = len(served.content) if served.size is None else served.size
        headers |= {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{served.etag}"'}
        headers["Location"] = f"{self.server.state.cdn_url}/{match[1]}/{match[3]}"
        self.reply(302, headers)


class _Cdn(_Handler):
    cdn = True

    def answer(self) -> None:
        served = self.server.state.files[unquote(self.path).lstrip("/")]
        if served.statuses:
            status, headers = served.statuses.pop(0)
            self.reply(status, headers)
            return
        self.send_content(served, {"ETag": '"another kind of tag"'})


@contextlib.contextmanager
def running() -> Iterator[HubServer]:
    server = HubServer()
    try:
        yield server
    finally:
        server.close()
