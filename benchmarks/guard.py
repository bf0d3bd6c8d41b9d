"""What a check costs with the embedded guard: one by one, in batches, and beside its peers.

Rates are in CPU time (user and system, all processes), so that they are per core and another
program beside this one does not spoil them; only the first rows are by the clock.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import Row, median, percentile, print_table
from oa_chat.catalog import GUARD, embedded_path
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Passage
from oa_chat.guards.stages import UNSURE_BETWEEN

_MESSAGES = Path(__file__).parents[1] / "tests" / "data" / "rule_dev.jsonl"
_ROUNDS = 3
_COMMANDS = 5
"""How often the whole command is started for one text."""


def main() -> None:
    lines = _MESSAGES.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    texts = [text for text in texts if len(text) < 250]  # at most about 64 tokens
    asyncio.run(_alone(texts))
    _rates(texts * _ROUNDS)


async def _alone(texts: list[str]) -> None:
    """The engine by itself, by the clock."""
    engine = Engine(embedded_path(GUARD), "classifier")
    info = await engine.load()
    await engine.classify([Passage(text) for text in texts[:20]])
    single: list[float] = []
    casual: list[float] = []
    for text in texts * _ROUNDS:
        started = time.perf_counter()
        ((window, *_),) = await engine.classify([Passage(text)])
        single.append((time.perf_counter() - started) * 1000)
        casual.append(window.probabilities[0])
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        await engine.classify([Passage(text) for text in texts])
    batched = (time.perf_counter() - started) * 1000 / (_ROUNDS * len(texts))
    long = Passage("harmless words of no interest " * 1000)
    started = time.perf_counter()
    (windows,) = await engine.classify([long])
    long_ms = (time.perf_counter() - started) * 1000
    await engine.close()
    low, high = UNSURE_BETWEEN
    unsure = sum(low <= share <= high for share in casual) / len(casual)
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
        Row(f"unsure (casual {low} to {high}): a second guard's", f"{unsure:.0%} of the messages"),
    ]
    title = (
        f"Guard, {len(texts)} messages of up to about 64 tokens, {info.threads} thread, with pipe"
    )
    print_table(title, rows)


def _rates(texts: list[str]) -> None:
    """`check --jsonl` beside one by one, bare llama.cpp and PyTorch, in CPU time."""
    path = str(embedded_path(GUARD))
    few = 100
    waiting = _cpu_each(lambda: _line_by_line(texts[:few]), few)
    batched = _cpu_each(lambda: _check_all(texts), len(texts))
    command = _cpu_each(lambda: _one_each(texts[:_COMMANDS]), _COMMANDS, start=0.0)
    bare = _peer("benchmarks.bare_guard", path, texts)
    torch = _peer("benchmarks.guard_in_torch", path, texts)
    loop = bare["cpu_ms"] / len(texts)
    in_torch = {name: torch[name]["cpu_ms"] / len(texts) for name in ("batched", "single")}
    same = sum(
        ours == theirs
        for ours, theirs in zip(bare["labels"], torch["batched"]["labels"], strict=True)
    )

    def row(what: str, name: str, peer: float, goal: str = "") -> Row:
        rate = peer / batched
        return Row(
            what, f"{batched:.1f} ms", f"{peer:.1f} ms ({name})", f"{rate:.2f}x the rate", goal
        )

    rows = [
        row("check --jsonl", "one command a text", command, "at least 5x"),
        row("", "one line at a time", waiting),
        row("", "bare llama.cpp loop", loop, "at least 0.5x"),
        row("", "transformers in batches of 32", in_torch["batched"]),
        row("", "transformers one by one", in_torch["single"]),
        Row("same level, llama.cpp and PyTorch", f"{same / len(texts):.1%}"),
    ]
    print_table(f"Rates per core, {len(texts):,} messages, CPU time of each", rows)


def _cpu() -> float:
    """CPU seconds of all processes that were started here and have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_each(run: Any, count: int, start: float | None = None) -> float:
    """Milliseconds of CPU for each text; `start` seconds are the program's own (None: measured)."""
    if start is None:
        before = _cpu()
        _check_all([])
        start = _cpu() - before
    before = _cpu()
    run()
    return max(0.0, _cpu() - before - start) * 1000 / count


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "oa_chat", "check", "--policy", "relaxed", *arguments]


def _check_all(texts: Sequence[str]) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    done = subprocess.run(
        _program("--jsonl"), input=lines, capture_output=True, text=True, check=True
    )
    if len(done.stdout.splitlines()) != len(texts):
        raise SystemExit(f"not all messages were judged: {done.stderr}")


def _line_by_line(texts: Sequence[str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(_program("--jsonl"), stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for text in texts:
            running.stdin.write(json.dumps({"text": text}) + "\n")
            running.stdin.flush()
            running.stdout.readline()
        running.stdin.close()


def _one_each(texts: Sequence[str]) -> None:
    for text in texts:
        subprocess.run(_program("--", text), capture_output=True, check=True)


def _peer(module: str, path: str, texts: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", module, path]
    done = subprocess.run(
        command, input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    main()
