"""`oa-chat serve-guard --upstream`: what another server gets, and its errors."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.serving.running import (
    CRISIS,
    SEED,
    Service,
    Upstream,
    content,
    events,
    service,
    upstream,
)

KEY = "sk-upstream-key"


@pytest.fixture(scope="module")
def other() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture(scope="module")
def started(other: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = tmp_path_factory.mktemp("settings") / "settings.toml"
    settings.write_text("[guard]\ntime_limit = 1.0\n", encoding="utf-8")
    options = ("--upstream", other.url, "--config", str(settings))
    # A server on this machine is reached in spite of a proxy that leads nowhere.
    with service(*options, OA_CHAT_UPSTREAM_KEY=KEY, NO_PROXY="", no_proxy="") as running:
        yield running


@pytest.fixture
def served(started: Service, other: Upstream) -> Service:
    fresh = Upstream(url=other.url)
    for name in ("pieces", "status", "error", "raw", "pause", "broken"):
        setattr(other, name, getattr(fresh, name))
    other.received.clear()
    other.headers.clear()
    return started


def user_turn(received: dict[str, Any]) -> str:
    return received["messages"][-1]["content"]


def test_a_nudge_reaches_the_model_at_the_end_of_the_users_turn(
    served: Service, other: Upstream
) -> None:
    answer = served.chat(SEED, model="big-model", max_tokens=9, temperature=0.3, stop="x").json()
    (received,) = other.received
    guideline = answer["oa_chat"]["guideline"]
    assert guideline
    assert user_turn(received) == f"{SEED}\n\n[Guideline: {guideline}]"
    assert (received["model"], received["max_tokens"]) == ("big-model", 9)
    assert (received["temperature"], received["stop"]) == (0.3, ["x"])
    assert answer["choices"][0]["message"]["content"] == "Good morning."
    assert answer["model"] == "big-model"
    assert answer["usage"]["total_tokens"] == 5
    assert other.headers[0]["authorization"] == f"Bearer {KEY}"


def test_only_what_was_judged_is_passed_on(served: Service, other: Upstream) -> None:
    body = {
        "messages": [{"role": "user", "content": "hello", "name": "root", "x": CRISIS}],
        "prompt": CRISIS,
        "chat_template": CRISIS,
        "metadata": {"x": CRISIS},
        "documents": [{"text": CRISIS}],
    }
    assert served.post("/v1/chat/completions", body).status_code == 200
    (received,) = other.received
    assert received["messages"] == [{"role": "user", "content": "hello"}]
    assert CRISIS not in str(received)
    assert set(received) == {"model", "messages", "stream"}


def test_a_stream_comes_through_piece_by_piece(served: Service, other: Upstream) -> None:
    other.pieces = ["Good ", "morning", " to you."]
    other.pause = 0.3
    asked = {"messages": [{"role": "user", "content": "hello"}], "stream": True}
    arrived: list[float] = []
    text = ""
    with httpx2.stream("POST", f"{served.url}/v1/chat/completions", json=asked) as stream:
        for line in stream.iter_lines():
            arrived.append(time.monotonic())
            text += line + "\n"
    assert content(events(text)) == "Good morning to you."
    assert events(text)[-1] == "[DONE]"
    assert arrived[-1] - arrived[0] > 0.5


def test_who_goes_away_ends_the_upstream_reply(served: Service, other: Upstream) -> None:
    other.pieces = ["word "] * 400
    other.pause = 0.02
    asked = {"messages": [{"role": "user", "content": "hello"}], "stream": True}
    with httpx2.stream("POST", f"{served.url}/v1/chat/completions", json=asked) as stream:
        next(stream.iter_lines())
    assert other.broken.wait(5)
    assert httpx2.get(f"{served.url}/health").json()["queue"] == {"checks": 0, "replies": 0}


@pytest.mark.parametrize(
    ("status", "ours"), [(400, 400), (404, 400), (401, 502), (403, 502), (429, 429), (500, 502)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_upstream_errors(
    served: Service, other: Upstream, status: int, ours: int, stream: bool
) -> None:
    other.status = status
    other.error = b'{"error":{"message":"too \\u001b[31mbad"}}'
    answer = served.chat("hello", stream=stream)
    assert answer.status_code == ours
    message = answer.json()["error"]["message"]
    assert f"{status}: too " in message
    assert "\x1b" not in message
    assert ("retry-after" in answer.headers) == (status == 429)


@pytest.mark.parametrize("raw", [b"", b"{}", b"<html>", b'{"choices":[]}', b"[" * 10_000, b"\xff"])
def test_upstream_nonsense(served: Service, other: Upstream, raw: bytes) -> None:
    other.raw = raw
    answer = served.chat("hello")
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "server_error")


def test_a_stream_that_breaks_off_says_so(served: Service, other: Upstream) -> None:
    other.raw = b'data: {"choices":[{"delta":{"content":"Good"}}]}\n\n'
    chunks = events(served.chat("hello", stream=True).text)
    assert content([chunk for chunk in chunks if "choices" in chunk]) == "Good"
    assert chunks[-1]["error"]["code"] == "upstream_broke_off"
    assert "[DONE]" not in chunks


def test_an_upstream_that_is_not_there() -> None:
    with service("--upstream", "http://127.0.0.1:9/v1") as alone:
        answer = alone.chat("hello")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
        assert httpx2.get(f"{alone.url}/v1/models").status_code == 502


def test_upstreams_models_are_listed(served: Service) -> None:
    listed = httpx2.get(f"{served.url}/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["big-model", "embedded guard"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_reply_is_asked_for_again_and_then_withheld(
    served: Service, other: Upstream, stream: bool
) -> None:
    other.pieces = ["You should kill yourself tonight, nobody will miss you. ", "Do it now."]
    answer = served.chat("hello", stream=stream)
    assert answer.status_code == 200
    if stream:
        chunks = events(answer.text)
        text, reason = content(chunks), chunks[-2]["choices"][0]["finish_reason"]
        reply = chunks[-2]["oa_chat"]["reply"]
    else:
        choice = answer.json()["choices"][0]
        text, reason = choice["message"]["content"], choice["finish_reason"]
        reply = answer.json()["oa_chat"]["reply"]
        assert "kill" not in text
        assert len(other.received) == 2
        assert "[Guideline:" in user_turn(other.received[1])
    assert reason == "content_filter"
    assert "withheld" in text
    assert reply["action"] == "withdraw"


def test_strict_replies_show_nothing_before_it_has_passed(other: Upstream, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[replies]\nmode = "strict"\n', encoding="utf-8")
    other.pieces = ["You should kill yourself tonight, nobody will miss you. ", "Do it now."]
    other.pause = 0.0
    with service("--upstream", other.url, "--config", str(settings)) as strict:
        text = strict.chat("hello", stream=True).text
    assert "kill" not in content(events(text))
    assert "withheld" in content(events(text))


@pytest.mark.parametrize("stream", [False, True])
def test_a_hanging_guard_is_a_refusal(served: Service, other: Upstream, stream: bool) -> None:
    (engine,) = served.engines()
    os.kill(engine.pid, signal.SIGSTOP)
    answer = served.chat("hello", stream=stream)
    assert answer.status_code == 200
    assert "content_filter" in answer.text
    assert "gave no verdict" in answer.text
    assert '"action":"hold"' in answer.text
    assert other.received == []
    assert served.chat("hello").json()["oa_chat"]["action"] == "pass"


def test_a_guard_that_is_killed_amid_a_check_is_a_refusal(served: Service, other: Upstream) -> None:
    (engine,) = served.engines()
    os.kill(engine.pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, engine.kill)
    killer.start()
    answer = served.post("/v1/moderations", {"input": "hello"}).json()["results"][0]
    killer.join()
    assert answer["flagged"] is True
    assert answer["oa_chat"]["level"] is None
    assert "killed" in answer["oa_chat"]["failure"]
    assert other.received == []
    assert served.chat("hello").json()["choices"][0]["finish_reason"] == "stop"
