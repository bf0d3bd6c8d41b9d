"""The Hugging Face hub, through huggingface_hub: what a file is there, and its bytes.

The one module that imports huggingface_hub, and that only when it is used. Address, tokens, proxies
and offline mode are that package's own (HF_ENDPOINT, HF_TOKEN or `hf auth login`, HF_HUB_OFFLINE).
Its own download starts from zero in every process, so the bytes are read here. Whatever comes from
a server is data: no name of it is used for a file.

Protocol: a HEAD of ``/owner/name/resolve/revision/file`` tells commit (X-Repo-Commit), size and
checksum (X-Linked-Size and X-Linked-Etag for large files, else Content-Length and ETag); a GET,
with a Range, redirects to the content. See huggingface_hub.get_hf_file_metadata.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from oa_chat import __version__
from oa_chat.downloads.partial import Content, is_checksum
from oa_chat.errors import DownloadError
from oa_chat.hub_names import MAIN, HubFile

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_CHUNK = 2**16
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN, and pull it again."


class TryAgain(Exception):
    """Something that may pass: a broken connection, a busy server."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        """Seconds that the server asks to wait, if it does."""


class OtherContent(Exception):
    """The server does not go on where the download stopped: it has to begin again."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the hub as it is now. Made by `Hub.look_up`."""

    file: HubFile
    """At the commit that was found, so that a change on the hub does not mix two contents."""
    content: Content


class Hub:
    """The hub that the environment names."""

    def __init__(self, *, offline: bool = False) -> None:
        """`offline` is the user's setting; HF_HUB_OFFLINE says the same. Raises DownloadError."""
        try:
            import huggingface_hub  # noqa: PLC0415 - 0.2 seconds, for downloads alone
            from huggingface_hub import constants  # noqa: PLC0415
        except ImportError as error:
            raise DownloadError(
                "The package huggingface_hub is missing, which downloads models.",
                'Install it: pip install "huggingface-hub>=1,<3"',
            ) from error
        if offline or constants.HF_HUB_OFFLINE:
            said = "the settings (models.offline)" if offline else "HF_HUB_OFFLINE"
            raise DownloadError(
                f"Nothing is downloaded: offline mode is on, by {said}.",
                "Turn it off to download. Models that are here work without it.",
            )
        # It prints what servers say in headers; a person is told by us.
        huggingface_hub.logging.set_verbosity(logging.ERROR)
        self._hub, self._constants = huggingface_hub, constants
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        if not self.endpoint.startswith(("https://", "http://")):
            raise DownloadError(
                f"HF_ENDPOINT is no web address: {self.endpoint}", "It begins with https://"
            )

    def look_up(self, file: HubFile) -> Remote:
        """What the file is now. Raises DownloadError and TryAgain."""
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

        broken = _client_errors(HfHubHTTPError)
        try:
            said = self._hub.get_hf_file_metadata(
                self._address(file), library_name="oa-chat", library_version=__version__
            )
        except HfHubHTTPError as error:
            self._explain(error, file)
        except broken as error:
            raise TryAgain(f"{self.endpoint} cannot be reached ({_reason(error)})") from error
        checksum = (said.etag or "").lower()
        if said.size is None or not is_checksum(checksum):
            raise DownloadError(
                f"{self.endpoint} does not say size and checksum of {file.last}.",
                "Without them it cannot be checked. Is it a mirror of the hub (HF_ENDPOINT)?",
            )
        if file.sha256 and checksum != file.sha256:
            raise DownloadError(
                f"{file.last} is another file on the hub than the catalogue means.",
                f"To take it all the same: oa-chat models pull {replace(file, sha256='').name}",
            )
        commit = said.commit_hash or ""
        pinned = replace(file, revision=commit) if _COMMIT.fullmatch(commit) else file
        return Remote(pinned, Content(said.size, checksum))

    def read(self, remote: Remote, start: int) -> Iterator[bytes]:
        """The content from byte `start` on, never more than it should be.

        Raises DownloadError, TryAgain and OtherContent.
        """
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

        broken = _client_errors(HfHubHTTPError)
        try:
            with self._hub.get_session().stream(
                "GET",
                self._address(remote.file),
                headers=self._headers(start),
                timeout=self._constants.HF_HUB_DOWNLOAD_TIMEOUT,
            ) as response:
                if response.status_code == 416:
                    raise OtherContent
                self._hub.hf_raise_for_status(response)
                _require_start(response.headers, response.status_code, start, remote)
                yield from _bounded(response.iter_bytes(_CHUNK), remote, start)
        except HfHubHTTPError as error:
            self._explain(error, remote.file)
        except broken as error:
            raise TryAgain(f"the connection broke ({_reason(error)})") from error

    def _headers(self, start: int) -> dict[str, str]:
        # Compressed on the way, the bytes would not be counted as they are in the file.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"oa-chat/{__version__}"}
        token = None
        if not self._constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
            token = self._hub.get_token()
        if token:
            # The client takes it off again where it is sent on to another server.
            headers["Authorization"] = f"Bearer {token}"
        if start:
            headers["Range"] = f"bytes={start}-"
        return headers

    def _address(self, file: HubFile) -> str:
        return self._hub.hf_hub_url(
            file.repo, file.file, revision=file.revision, endpoint=self.endpoint
        )

    def _explain(self, error: HfHubHTTPError, file: HubFile) -> NoReturn:
        """Raise what an answer of the hub means for a person."""
        status = error.response.status_code
        code = error.response.headers.get("X-Error-Code", "")
        if status in _TRANSIENT:
            wait = _seconds(error.response.headers)
            what = "too many requests" if status == 429 else f"it answers with error {status}"
            raise TryAgain(f"the hub is busy ({what})", wait) from error
        page = f"{self.endpoint}/{file.repo}"
        if code == "GatedRepo":
            message = f"The makers of {file.repo} want you to accept their terms first."
            hint = f"Accept them at {page} in a browser. {_LOG_IN}"
        elif code == "RevisionNotFound":
            message = f"{file.repo} has no revision {file.revision}."
            hint = f"Leave it out, or take one of {page}/commits/{MAIN}"
        elif code == "EntryNotFound":
            message = f"{file.repo} has no file {file.file}."
            hint = f"The files are at {page}/tree/{file.revision}"
        elif code == "RepoNotFound" or status in (401, 404):
            # The hub says 401 for what is not there, so that private names stay private.
            message = f"The hub shows no repository {file.repo}: it is not there, or it is private."
            hint = f"Check the name. {_LOG_IN}"
        elif status == 403:
            message = f"The hub does not let you have {file.repo}."
            hint = f"Look at {page} in a browser. Your token needs the right to read it."
        else:
            message = f"The hub answers with error {status} for {file.name}."
            hint = "Try it again later; what is there is kept."
        raise DownloadError(message, hint) from error


def _client_errors(of_hub: type[HfHubHTTPError]) -> tuple[type[Exception], ...]:
    """What the HTTP client raises: httpx in huggingface_hub 1, httpx2 from 2 on."""
    return tuple(
        base for base in of_hub.__bases__ if issubclass(base, Exception) and base is not OSError
    )


def _require_start(headers: Mapping[str, str], status: int, start: int, remote: Remote) -> None:
    """Refuse an answer that is not the asked part of the content that was looked up."""
    said = {key.lower(): value for key, value in headers.items()}
    total: int | None = None
    if status == 206:
        match = _RANGE.fullmatch(said.get("content-range", ""))
        if match is None or int(match[1]) != start:
            raise OtherContent
        total = int(match[2])
    elif start:
        raise OtherContent
    elif said.get("content-length", "").isdigit():
        total = int(said["content-length"])
    if total is not None and total != remote.content.size:
        raise _lie(remote, total)


def _bounded(chunks: Iterator[bytes], remote: Remote, start: int) -> Iterator[bytes]:
    """The chunks as far as they belong to the file. Raises if they are too many or too few."""
    at = start
    for chunk in chunks:
        at += len(chunk)
        if at > remote.content.size:
            raise _lie(remote, at)
        yield chunk
    if at < remote.content.size:
        raise TryAgain("the connection ended early")


def _lie(remote: Remote, size: int) -> DownloadError:
    return DownloadError(
        f"The hub says that {remote.file.last} has {remote.content.size:,} bytes,"
        f" and sends {size:,}.",
        "Nothing of it is used. Try it again later, or without HF_ENDPOINT.",
    )


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _seconds(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait: Retry-After, or the hub's own RateLimit header."""
    said = {key.lower(): value for key, value in headers.items()}
    if said.get("retry-after", "").strip().isdigit():
        return float(said["retry-after"])
    match = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", said.get("ratelimit", ""))
    return float(match[1]) if match else None
