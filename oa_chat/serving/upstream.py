"""Replies of another server that speaks OpenAI's protocol.

The request is made anew from what was judged: nothing of the client's body is passed on unread. The
answer is read the same way, text and end and usage; tool calls or reasoning that a server sends
beside them are not. Server-sent events are the HTML standard's, as far as this protocol uses them.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from oa_chat.conversation import Message
from oa_chat.errors import UsageError
from oa_chat.serving.asked import Wanted
from oa_chat.serving.forwarding import Ended, FinishReason, Said, Usage
from oa_chat.serving.refusal import HttpRefusal, busy

_TIMEOUT = httpx2.Timeout(connect=10.0, read=120.0, write=30.0, pool=10.0)
_ANY_MODEL = "default"
_MOST_AT_ONCE = 64
_MOST_BYTES = 8_000_000
"""Of an answer in one piece, or of one event."""


class _Counts(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Text(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Text | None = None
    delta: _Text | None = None
    finish_reason: str | None = None


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    """A completion, a piece of one, or an error."""

    choices: list[_Choice] = []
    usage: _Counts | None = None
    error: _Error | str | None = None


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model] = []


class Upstream:
    """A server behind a base URL such as ``http://127.0.0.1:8080/v1``."""

    ready = True

    def __init__(self, url: str, key: str = "") -> None:
        """`key` is this program's own for that server. Raises UsageError for what is no URL."""
        self.waiting = 0
        self._url = _checked(url)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # What is said to this machine is not for the proxy that the environment may name.
        trusted = not _on_loopback(self._url)
        self._client = httpx2.AsyncClient(timeout=_TIMEOUT, headers=headers, trust_env=trusted)

    def named(self, model: str) -> str:
        """The model that was asked for."""
        return model or _ANY_MODEL

    async def load(self) -> None:
        """Nothing to load: the server may start later than this one."""

    async def models(self) -> list[str]:
        """The names that the server lists."""
        try:
            answer = await self._client.get(f"{self._url}/models")
            if answer.status_code != 200:
                raise _mapped(answer.status_code, answer.content, answer.headers)
            return [model.id for model in msgspec.json.decode(answer.content, type=_Models).data]
        except httpx2.HTTPError as error:
            raise _unreachable(error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _nonsense() from error

    async def reply(
        self, messages: Sequence[Message], wanted: Wanted
    ) -> AsyncGenerator[Said | Ended, None]:
        """The reply. Closed early, the connection is closed, and the server may stop."""
        if self.waiting >= _MOST_AT_ONCE:
            raise busy("the chat server", 5)
        self.waiting += 1
        try:
            asked = self._client.stream(
                "POST", f"{self._url}/chat/completions", json=_body(messages, wanted)
            )
            async with asked as answer:
                if answer.status_code != 200:
                    raise _mapped(answer.status_code, await _whole(answer), answer.headers)
                events = _streamed(answer) if wanted.stream else _in_one_piece(answer)
                async for event in events:
                    yield event
        except httpx2.HTTPError as error:
            raise _unreachable(error) from error
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise UsageError(
            "--upstream is not the address of a server.",
            "Give its base URL, such as http://127.0.0.1:8080/v1; a key goes into"
            " OA_CHAT_UPSTREAM_KEY.",
        )
    return url.rstrip("/")


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _body(messages: Sequence[Message], wanted: Wanted) -> dict[str, Any]:
    sampling = wanted.sampling
    said = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(wanted.stop) or None,
        "presence_penalty": wanted.presence_penalty,
        "frequency_penalty": wanted.frequency_penalty,
        "stream_options": {"include_usage": True} if wanted.stream else None,
    }
    return {
        "model": wanted.model or _ANY_MODEL,
        "messages": [{"role": message.role, "content": message.text} for message in messages],
        "stream": wanted.stream,
        **{key: value for key, value in said.items() if value is not None},
    }


async def _whole(answer: httpx2.Response) -> bytes:
    data = bytearray()
    async for part in answer.aiter_bytes():
        data += part
        if len(data) > _MOST_BYTES:
            raise _nonsense()
    return bytes(data)


async def _in_one_piece(answer: httpx2.Response) -> AsyncIterator[Said | Ended]:
    read = _read(await _whole(answer))
    if not read.choices or read.choices[0].message is None:
        raise _nonsense()
    choice = read.choices[0]
    if choice.message and choice.message.content:
        yield Said(choice.message.content)
    yield Ended(_reason(choice.finish_reason), _usage(read))


async def _streamed(answer: httpx2.Response) -> AsyncIterator[Said | Ended]:
    reason: FinishReason | None = None
    usage: Usage | None = None
    async for data in _events(answer):
        if data == b"[DONE]":
            break
        read = _read(data)
        usage = _usage(read) or usage
        for choice in read.choices[:1]:
            if choice.delta and choice.delta.content:
                yield Said(choice.delta.content)
            if choice.finish_reason is not None:
                reason = _reason(choice.finish_reason)
    if reason is None:
        raise HttpRefusal(502, "The chat server broke off its reply.", code="upstream_broke_off")
    yield Ended(reason, usage)


async def _events(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """The ``data`` of each event; this protocol has one line of it in each."""
    waiting = bytearray()
    async for part in answer.aiter_bytes():
        waiting += part
        *lines, rest = waiting.split(b"\n")
        waiting = bytearray(rest)
        if len(waiting) > _MOST_BYTES:
            raise _nonsense()
        for line in lines:
            if line.startswith(b"data:"):
                yield bytes(line[5:].strip())


def _read(data: bytes) -> _Answer:
    try:
        read = msgspec.json.decode(data, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _nonsense() from error
    if read.error is not None:
        said = read.error if isinstance(read.error, str) else read.error.message
        raise HttpRefusal(502, f"The chat server failed: {said}", code="upstream_failed")
    return read


def _reason(reason: str | None) -> FinishReason:
    """Tool calls are not passed on, so that a reply which ends in them just ends."""
    if reason == "length":
        return "length"
    return "content_filter" if reason == "content_filter" else "stop"


def _usage(read: _Answer) -> Usage | None:
    if read.usage is None:
        return None
    return Usage(read.usage.prompt_tokens, read.usage.completion_tokens)


def _unreachable(error: httpx2.HTTPError) -> HttpRefusal:
    if isinstance(error, httpx2.TimeoutException):
        return HttpRefusal(504, "The chat server did not answer in time.", code="upstream_silent")
    return HttpRefusal(
        502,
        f"The chat server cannot be reached, or it hung up ({type(error).__name__}).",
        code="upstream_unreachable",
    )


def _nonsense() -> HttpRefusal:
    return HttpRefusal(
        502, "The chat server answered something else than expected.", code="upstream_nonsense"
    )


def _mapped(status: int, body: bytes, headers: httpx2.Headers) -> HttpRefusal:
    """An upstream error as ours. What is wrong with our key is not the client's fault."""
    try:
        said = msgspec.json.decode(body, type=_Answer).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    words = said if isinstance(said, str) else said.message if said else ""
    message = f"The chat server answered {status}: {words or 'without a reason'}"
    if status == 429:
        after = headers.get("retry-after", "5")
        after = after if after.isascii() and after.isdigit() else "5"
        return HttpRefusal(429, message, code="upstream_busy", headers={"retry-after": after[:6]})
    if status in {400, 404, 413, 422}:
        return HttpRefusal(400, message, code="upstream_refused")
    return HttpRefusal(502, message, code="upstream_failed")
