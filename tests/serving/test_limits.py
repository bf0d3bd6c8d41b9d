"""Clients that send too slowly, too much, or go away; and how the service ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from oa_chat.errors import ModelUnreadable
from oa_chat.sampling import Sampling
from oa_chat.serving import connection, listener, replies
from oa_chat.serving.check_queue import QueueLimits
from oa_chat.serving.local_model import LocalModel
from oa_chat.verdict import unreadable
from tests.scripted import ScriptedChat, ScriptedGuard
from tests.serving.endless import Endless, setup_of
from tests.serving.running import serving

ASK = {"messages": [{"role": "user", "content": "hello"}]}


async def read_to_end(port: int, data: bytes, within: float) -> bytes:
    """What the server says to some bytes until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), within)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def head(length: int) -> bytes:
    return (
        b"POST /v1/moderations HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
    )


async def test_a_header_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_HEADER_SECONDS", 0.3)
    async with serving(setup_of()) as client:
        port = client.base_url.port
        assert port
        slow = [read_to_end(port, data, 3) for data in (b"", b"GET /health HTTP/1.1\r\nHost: x")]
        assert await asyncio.gather(*slow) == [b"", b""]
        assert (await client.get("/health")).status_code == 200


async def test_a_header_that_comes_byte_by_byte_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_HEADER_SECONDS", 0.3)
    async with serving(setup_of()) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        started = time.monotonic()
        for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 200:
            if reader.at_eof():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert reader.at_eof()
        assert time.monotonic() - started < 2
        writer.close()


async def test_a_second_header_on_a_connection_has_its_limit_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_HEADER_SECONDS", 0.3)
    async with serving(setup_of()) as client:
        port = client.base_url.port
        assert port
        whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.write(whole[:-2])
        rest = await asyncio.wait_for(reader.read(), 3)
        writer.close()
        assert b"HTTP/1.1" not in rest


async def test_a_body_that_never_ends_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_BODY_SECONDS", 0.3)
    async with serving(setup_of()) as client:
        port = client.base_url.port
        assert port
        said = await read_to_end(port, head(100) + b'{"input":', 3)
        assert said.startswith(b"HTTP/1.1 408")
        assert b'"too_slow"' in said


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_a_413(chunked: bool) -> None:
    async def parts() -> AsyncGenerator[bytes, None]:
        for _ in range(40):
            yield b"x" * 100_000

    async with serving(setup_of()) as client:
        headers = {"content-type": "application/json"}
        content: Any = parts() if chunked else b"x" * 4_000_000
        answer = await client.post("/v1/moderations", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert (await client.get("/health")).status_code == 200


async def test_more_connections_than_allowed_are_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_CONNECTIONS", 4)
    async with serving(setup_of()) as client:
        port = client.base_url.port
        assert port
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await read_to_end(port, b"", 3) == b""
        for _, writer in kept:
            writer.close()
        await asyncio.sleep(0.1)
        assert (await client.get("/health")).status_code == 200


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_STALLED_SECONDS", 0.3)
    monkeypatch.setattr(replies, "_LONGEST", 10**12)
    target = Endless("x" * 200_000, 0.01)
    async with serving(setup_of(target)) as client:
        port = client.base_url.port
        body = json.dumps(ASK | {"stream": True}).encode()
        data = head(len(body)).replace(b"moderations", b"chat/completions") + body
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(data)
        await asyncio.wait_for(target.ended.wait(), 10)
        writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_who_goes_away_ends_the_reply(stream: bool) -> None:
    target = Endless()
    async with serving(setup_of(target)) as client:
        body = json.dumps(ASK | {"stream": stream}).encode()
        data = head(len(body)).replace(b"moderations", b"chat/completions") + body
        _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(data)
        await asyncio.sleep(0.3)
        assert not target.ended.is_set()
        writer.close()
        await asyncio.wait_for(target.ended.wait(), 3)


async def test_a_reply_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_LONGEST", 50)
    target = Endless(pause=0.0)
    async with serving(setup_of(target)) as client:
        choice = (await client.post("/v1/chat/completions", json=ASK)).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == "word " * 10


async def test_who_goes_away_from_the_line_does_not_end_anothers_reply() -> None:
    chat = ScriptedChat(gate=asyncio.Event())
    target = LocalModel(chat, "starter", Sampling())
    async with serving(setup_of(target)) as client:
        first = asyncio.create_task(client.post("/v1/chat/completions", json=ASK))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(client.post("/v1/chat/completions", json=ASK))
        await asyncio.sleep(0.2)
        assert (await client.get("/health")).json()["queue"]["replies"] == 2
        second.cancel()
        await asyncio.sleep(0.2)
        assert (await client.get("/health")).json()["queue"]["replies"] == 1
        assert chat.gate is not None
        chat.gate.set()
        answer = (await first).json()
        assert answer["choices"][0]["message"]["content"] == "Hello there."
        assert len(chat.seen) == 1


async def test_a_full_queue_is_a_429_with_a_time() -> None:
    guard = ScriptedGuard(gate=asyncio.Event())
    async with serving(setup_of(guard=guard, limits=QueueLimits(most=4))) as client:
        asked = [
            asyncio.create_task(client.post("/v1/moderations", json={"input": "a"}))
            for _ in range(4)
        ]
        await asyncio.sleep(0.3)
        assert (await client.get("/health")).json()["queue"]["checks"] == 4
        for path, body in (("/v1/moderations", {"input": "b"}), ("/v1/chat/completions", ASK)):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
            assert int(answer.headers["retry-after"]) >= 1
        assert guard.gate is not None
        guard.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 4


async def test_a_running_request_is_finished_before_the_end() -> None:
    guard = ScriptedGuard(gate=asyncio.Event())
    async with serving(setup_of(guard=guard)) as client:
        asked = asyncio.create_task(client.post("/v1/moderations", json={"input": "a"}))
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.4)
        with pytest.raises(httpx2.TransportError):
            await client.get("/health")
        assert guard.gate is not None
        guard.gate.set()
        assert (await asked).status_code == 200
        await asyncio.sleep(0.5)


async def test_a_request_that_does_not_finish_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_GRACE_SECONDS", 1)
    target = Endless()
    started = time.monotonic()
    async with serving(setup_of(target)) as client:
        asked = client.post("/v1/chat/completions", json=ASK | {"stream": True})
        task = asyncio.create_task(asked)
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(httpx2.TransportError):
            await task
        assert target.ended.is_set()
        await asyncio.sleep(0.3)
    assert time.monotonic() - started < 4


async def test_health_says_why_it_is_not_ready() -> None:
    class Broken(ScriptedGuard):
        @property
        def info(self) -> None:
            return None

        async def load(self, on_progress: Any = None) -> Any:
            raise ModelUnreadable("The file is cut off.")

        async def check_many(self, conversations: Any) -> Any:
            return [unreadable(self.name, "The file is cut off.") for _ in conversations]

    async with serving(setup_of(guard=Broken())) as client:
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert answer.json()["failure"] == "The file is cut off."
        refused = (await client.post("/v1/chat/completions", json=ASK)).json()
        assert refused["choices"][0]["finish_reason"] == "content_filter"
