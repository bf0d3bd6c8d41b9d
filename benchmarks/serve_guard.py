"""`oa-chat serve-guard` under load: one client, then 100 at once.

Twice: once the clients rest between two messages as programs with users do, once each asks again as
soon as it is answered. In the second case the guard is saturated, and a client waits for all others
however the queue is arranged: p99 is at least clients / (checks a second). Equal texts
that wait together are judged once, so every text is made unlike all others by a number behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.table import Row, median, percentile, print_table

_MESSAGES = Path(__file__).parents[1] / "tests" / "data" / "rule_dev.jsonl"
_CLIENTS = 100
_SECONDS = 60.0
_REST = 4.0
"""Mean seconds of a client that rests between two messages: 25 checks a second from all."""
_ALONE = 300
"""Requests of the one client."""
_number = itertools.count()


@dataclass
class _Tally:
    """What clients saw."""

    milliseconds: list[float] = field(default_factory=list)
    errors: int = 0


def main() -> None:
    lines = _MESSAGES.read_text(encoding="utf-8").splitlines()
    texts = [text for line in lines if len(text := json.loads(line)["text"]) < 250]
    with _served() as port:
        asyncio.run(_measure(port, texts))


@contextlib.contextmanager
def _served() -> Iterator[int]:
    command = [sys.executable, "-m", "oa_chat", "serve-guard", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--upstream", "http://127.0.0.1:9/v1"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    found = re.search(r":(\d+)/v1", process.stderr.readline())
    assert found
    drained = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
    try:
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(20)
        drained.wait(20)


async def _measure(port: int, texts: list[str]) -> None:
    await _client(port, texts[:20], _Tally(), deadline=float("inf"))
    alone = _Tally()
    await _client(port, (texts * 10)[:_ALONE], alone, deadline=float("inf"))
    resting, resting_took = await _crowd(port, texts, _REST)
    pressing, pressing_took = await _crowd(port, texts, 0.0)
    _report(alone, resting, resting_took, pressing, pressing_took)


async def _crowd(port: int, texts: list[str], rest: float) -> tuple[_Tally, float]:
    """All clients together; what they saw, and for how many seconds they asked."""
    tally = _Tally()
    started = time.perf_counter()
    shifts = (len(texts) * number // _CLIENTS for number in range(_CLIENTS))
    clients = [
        _client(port, [*texts[at:], *texts * 100], tally, started + _SECONDS, rest) for at in shifts
    ]
    await asyncio.gather(*clients)
    return tally, time.perf_counter() - started


async def _client(
    port: int, texts: list[str], tally: _Tally, deadline: float, rest: float = 0.0
) -> None:
    """One client on one connection. Bytes and no HTTP library: this shares the server's cores."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chance = random.Random(texts[0])
    for text in texts:
        await asyncio.sleep(chance.uniform(0, 2 * rest))
        if time.perf_counter() >= deadline:
            break
        body = json.dumps({"input": f"{text} {next(_number)}"}).encode()
        started = time.perf_counter()
        writer.write(
            b"POST /v1/moderations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
            b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head)
            answer = await reader.readexactly(int(size[1]) if size else 0)
        except (OSError, asyncio.IncompleteReadError):
            tally.errors += 1
            return
        tally.milliseconds.append((time.perf_counter() - started) * 1000)
        judged = head.startswith(b"HTTP/1.1 200") and b'"failure":""' in answer
        tally.errors += not judged
    writer.close()


def _report(
    alone: _Tally, resting: _Tally, resting_took: float, pressing: _Tally, pressing_took: float
) -> None:
    one = median(alone.milliseconds)
    rows = [
        Row("one client, p50", f"{one:.1f} ms"),
        Row("one client, p99", f"{percentile(alone.milliseconds, 0.99):.1f} ms"),
        *_crowd_rows("at rest between", resting, resting_took, one, "under 20x"),
        *_crowd_rows("without a rest", pressing, pressing_took, one, ""),
    ]
    title = (
        f"serve-guard, POST /v1/moderations, {_CLIENTS} clients for {_SECONDS:.0f} s: each rests"
        f" {_REST:.0f} s on average between two checks, then each asks without a rest"
    )
    print_table(title, rows)


def _crowd_rows(how: str, crowd: _Tally, took: float, one: float, goal: str) -> list[Row]:
    rate = len(crowd.milliseconds) / took
    p99 = percentile(crowd.milliseconds, 0.99)
    peer = f"{one:.1f} ms (one client's p50)"
    return [
        Row(f"{how}: checks", f"{len(crowd.milliseconds):,} ({rate:.0f} a second)"),
        Row(f"{how}: p50", f"{median(crowd.milliseconds):.0f} ms"),
        Row(f"{how}: p99", f"{p99:.0f} ms", peer, f"{p99 / one:.1f}x", goal),
        Row(f"{how}: answers without a verdict", f"{crowd.errors}", goal="0"),
    ]
