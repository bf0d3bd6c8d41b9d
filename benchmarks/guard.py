"""What a check costs with the embedded guard: one by one, batched, and beside the chat."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from benchmarks.table import Row, median, percentile, print_table
from oa_chat.catalog import GUARD, embedded_path
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Passage

_MESSAGES = Path(__file__).parents[1] / "tests" / "data" / "rule_dev.jsonl"
_ROUNDS = 3


def main() -> None:
    asyncio.run(_measure())


async def _measure() -> None:
    lines = _MESSAGES.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    texts = [text for text in texts if len(text) < 250]  # at most about 64 tokens
    engine = Engine(embedded_path(GUARD), "classifier")
    info = await engine.load()
    await engine.classify([Passage(text) for text in texts[:20]])
    single: list[float] = []
    for text in texts * _ROUNDS:
        started = time.perf_counter()
        await engine.classify([Passage(text)])
        single.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        await engine.classify([Passage(text) for text in texts])
    batched = (time.perf_counter() - started) * 1000 / (_ROUNDS * len(texts))
    long = Passage("harmless words of no interest " * 1000)
    started = time.perf_counter()
    (windows,) = await engine.classify([long])
    long_ms = (time.perf_counter() - started) * 1000
    await engine.close()
    rows = [
        Row("one message, p50", f"{median(single):.1f} ms", goal="at most 10 ms"),
        Row("one message, p95", f"{percentile(single, 0.95):.1f} ms", goal="at most 25 ms"),
        Row(
            "one message of a batch",
            f"{batched:.1f} ms",
            f"{median(single):.1f} ms (one by one)",
            f"{batched / median(single):.2f}x",
        ),
        Row(f"5,000 words in {len(windows)} windows", f"{long_ms:.0f} ms"),
    ]
    title = (
        f"Guard, {len(texts)} messages of up to about 64 tokens, {info.threads} thread, with pipe"
    )
    print_table(title, rows)
