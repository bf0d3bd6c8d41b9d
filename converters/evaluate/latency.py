"""How long a judgement takes: one message at a time as in the chat, and many together.

Measured on messages spread over the sets, after a few that are not counted. These numbers differ
from run to run and machine to machine, so they are kept apart from all others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from converters.evaluate.judges import BATCH, Judge
from converters.evaluate.progress import progress
from converters.evaluate.samples import LabelledSet, Sample

_WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of one judge."""

    messages: int
    p50_ms: float
    """Half of the messages, judged one at a time, took at most this long."""
    p95_ms: float
    per_second: float
    """Messages a second, judged together in batches."""
    threads: int
    """As asked for; 0 lets the engine choose."""

    def fields(self) -> dict[str, float | int]:
        """For JSON."""
        return {
            "messages": self.messages,
            "p50_ms": round(self.p50_ms, 3),
            "p95_ms": round(self.p95_ms, 3),
            "per_second": round(self.per_second, 2),
            "threads": self.threads,
        }


def measure_latency(judge: Judge, sets: Sequence[LabelledSet], count: int, threads: int) -> Latency:
    """The times of `count` messages out of all sets."""
    chosen = spread([sample for data in sets for sample in data.samples], count)
    judge.judge([sample.messages for sample in chosen[:_WARM_UP]])
    times = []
    with progress(f"{judge.info.name}: latency", 2 * len(chosen)) as advance:
        for sample in chosen:
            started = time.perf_counter()
            judge.judge([sample.messages])
            times.append((time.perf_counter() - started) * 1000)
            advance(1)
        started = time.perf_counter()
        for start in range(0, len(chosen), BATCH):
            batch = chosen[start : start + BATCH]
            judge.judge([sample.messages for sample in batch])
            advance(len(batch))
        taken = time.perf_counter() - started
    return Latency(
        messages=len(chosen),
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
        per_second=len(chosen) / max(taken, 1e-9),
        threads=threads,
    )


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` samples at even distances."""
    count = min(count, len(samples))
    return [samples[at * len(samples) // count] for at in range(count)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-int(share * 1000) * len(ordered) // 1000))
    return ordered[rank - 1]
