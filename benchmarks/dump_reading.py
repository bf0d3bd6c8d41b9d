"""How fast a dump file is read for one subreddit, beside the usual ways: MB of text a second.

The file is made on the spot (`reddit_dump`): one zstd frame with a window of 2^31 bytes, records
of some 2.4 kB, one in a hundred wanted. Every way runs in a process of its own on one processor,
in turn, and has to find the same number of records. Speed is per second of processor time, so that
other work on the machine counts little; a row gives it by the clock, with the waiting for the
disk, which only the command's durable output has. Beside each ratio of the medians stand the lowest
and the highest of a round, in which all ways ran within seconds of each other. Memory is the most
that the process held, less the window, which every decoder of such files holds (here as large as
the text, for that is smaller than 2^31 bytes).
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reddit_dump import WANTED, write_dump
from benchmarks.table import Row, median, print_table

_RECORDS = 200_000
_RUNS = 5
_WINDOW = 2**31
_USUAL_CHUNK = 2**27


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "RS_2019-01.zst"
        text = write_dump(path, _RECORDS)
        measured: dict[str, list[_Run]] = {name: [] for name in _WAYS}
        for _ in range(_RUNS):  # in turn, so that the machine's moods fall on all
            for name in _WAYS:
                measured[name].append(_in_own_process(name, path))
        packed = path.stat().st_size
    speed = {name: [text / 1e6 / run.processor for run in runs] for name, runs in measured.items()}
    clock = {name: [text / 1e6 / run.clock for run in runs] for name, runs in measured.items()}
    above = {
        name: (max(run.peak for run in runs) - min(text, _WINDOW)) / 1e6
        for name, runs in measured.items()
    }
    found = {run.found for name, runs in measured.items() if name != "zstd" for run in runs}
    assert len(found) == 1, f"the ways disagree: {found}"
    rows = [
        _row("than zstandard + json.loads", speed, "plain", "at least 3x"),
        _row("than the usual script (128 MB, decode, split)", speed, "usual", "at least 2.5x"),
        _row("than zstandard + msgspec, every line", speed, "msgspec", ""),
        _row("than unpacking alone", speed, "zstd", "(the bound)"),
        _row("than zstandard + json.loads, by the clock", clock, "plain", ""),
        _row("than the usual script, by the clock", clock, "usual", ""),
        Row("memory above the window", f"{above['ours']:.0f} MB",
            f"{above['usual']:.0f} MB (usual script)", goal="at most 300 MB"),
    ]  # fmt: skip
    print_table(
        f"Dump reading, {text / 1e6:.0f} MB of text in {packed / 1e6:.0f} MB of zstd, "
        f"{text / _RECORDS:.0f} bytes a record, {found.pop()} of {_RECORDS} wanted, one processor, "
        f"medians of {_RUNS} rounds",
        rows,
    )


def _row(what: str, speed: dict[str, list[float]], peer: str, goal: str) -> Row:
    ours, theirs = median(speed["ours"]), median(speed[peer])
    rounds = [one / other for one, other in zip(speed["ours"], speed[peer], strict=True)]
    return Row(
        what,
        f"{ours:.0f} MB/s",
        f"{theirs:.0f} MB/s",
        f"{ours / theirs:.2f}x ({min(rounds):.2f} to {max(rounds):.2f})",
        goal,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    processor: float
    """Seconds."""
    clock: float
    """Seconds."""
    peak: float
    """Bytes resident at most."""
    found: int


def _in_own_process(name: str, path: Path) -> _Run:
    command = [sys.executable, "-m", "benchmarks.dump_reading", name, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    processor, clock, peak, found = printed.split()
    return _Run(float(processor), float(clock), float(peak), int(found))


def _ours(path: Path) -> int:
    """All of `oa-chat scrape dump` but its command line: found, checked, written, synced."""
    from converters.scrape.dump import DumpJob, collect
    from converters.scrape.dump_progress import Unseen
    from converters.scrape.filters import Filters

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        filters = Filters(subreddits=(WANTED,))
        job = DumpJob(files=(path,), out=out, format="jsonl", filters=filters)
        return collect(job, Unseen()).count


def _plain(path: Path) -> int:
    with _unpacked(path) as stream:
        rows = map(json.loads, io.TextIOWrapper(stream, encoding="utf-8"))
        return sum(row["subreddit"].lower() == WANTED.lower() for row in rows)


def _usual(path: Path) -> int:
    rows = map(json.loads, _usual_lines(path))
    return sum(row["subreddit"].lower() == WANTED.lower() for row in rows)


def _usual_lines(path: Path) -> Iterator[str]:
    """Large chunks, decoded, split, the rest carried over: as the well-known scripts do it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _unpacked(path) as stream:
        rest = ""
        while chunk := stream.read(_USUAL_CHUNK):
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            yield from whole
        if rest:
            yield rest


def _msgspec(path: Path) -> int:
    import msgspec

    class Named(msgspec.Struct):
        subreddit: str = ""

    decode = msgspec.json.Decoder(Named).decode
    with _unpacked(path) as stream:
        rows = map(decode, io.BufferedReader(stream, 2**22))  # type: ignore[type-var]
        return sum(row.subreddit.lower() == WANTED.lower() for row in rows)


def _zstd(path: Path) -> int:
    buffer = bytearray(2**22)
    with _unpacked(path) as stream:
        while stream.readinto(buffer):
            pass
    return 0


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[io.RawIOBase]:
    import zstandard

    with path.open("rb") as file:
        yield zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file)  # type: ignore[misc]


_WAYS: dict[str, Callable[[Path], int]] = {
    "ours": _ours,
    "plain": _plain,
    "usual": _usual,
    "msgspec": _msgspec,
    "zstd": _zstd,
}


def _measure(name: str, path: Path) -> None:
    import resource

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for module in ("msgspec", "zstandard", "converters.scrape.dump"):  # not what is measured
        importlib.import_module(module)
    started, worked = time.perf_counter(), time.process_time()
    found = _WAYS[name](path)
    clock, processor = time.perf_counter() - started, time.process_time() - worked
    unit = 1 if sys.platform == "darwin" else 1024
    print(processor, clock, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, found)


if __name__ == "__main__":
    if sys.argv[1:]:
        _measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
