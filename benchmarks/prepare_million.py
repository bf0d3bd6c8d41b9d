"""How long `oa-chat prepare` takes: `python -m benchmarks.prepare_million --data DIR`.

Posts are made from the texts of the shared pack: runs of words from several of its messages, so
that they read like posts and are all different, and a tenth of them are near duplicates: earlier
posts with one or two words changed. Each size is prepared by the real command in a process of its
own, whose wall time, processor time and peak memory (of all its processes together) are printed.
`--plot FILE` draws the cost of all sizes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.table import Row, print_table

SIZES = (100_000, 300_000, 1_000_000, 3_000_000)
GOAL_SECONDS = 60.0
GOAL_MIB = 4096
NEAR_SHARE = 0.1
FILES = 4
"""Scraped posts come in several files; slices of one file would do as well."""

RECIPE = """
name = "million"
description = "Generated posts, for a measurement."

[[source]]
kind = "posts"
path = "posts-*.jsonl"
licence = "unknown"

[steps.normalise]
[steps.language]
[steps.scrub]
[steps.question]
[steps.length]
[steps.quality]
[steps.exact]
[steps.near]
"""


@dataclass(frozen=True)
class Measured:
    posts: int
    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system, of the command and its workers."""
    peak: float
    """MiB, proportional set size: memory that processes share counts once."""
    kept: int
    near: int


def pack_texts(data: Path) -> list[list[str]]:
    """The words of each message of the pack."""
    texts = []
    for name in ("labels.train", "written.train"):
        with gzip.open(data / "guard" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            texts += [json.loads(line)["text"].split() for line in stream]
    return [words for words in texts if len(words) >= 4]


def make_posts(
    texts: Sequence[list[str]], count: int, seed: int = 1
) -> Iterator[dict[str, object]]:
    """Posts as `oa-chat scrape` writes them."""
    chance = random.Random(seed)
    recent: list[list[str]] = []
    for number in range(count):
        if recent and chance.random() < NEAR_SHARE:
            words = list(chance.choice(recent))
            for _ in range(chance.randint(1, 2)):
                words[chance.randrange(len(words))] = chance.choice(chance.choice(texts))
        else:
            words = []
            while len(words) < 18:
                said = chance.choice(texts)
                start = chance.randrange(len(said))
                words += said[start : start + chance.randint(4, 10)]
            if len(recent) < 50_000:
                recent.append(words)
            else:
                recent[chance.randrange(len(recent))] = words
        title, text = " ".join(words[:6]), " ".join(words[6:])
        yield {
            "id": f"t3_{number:x}",
            "kind": "submission",
            "subreddit": f"sub{number % 7}",
            "created": 1_600_000_000 + number,
            "title": title,
            "text": text,
            "score": number % 100,
            "over_18": False,
            "lang": "",
            "thread": f"t3_{number:x}",
            "parent": "",
            "author": "",
            "comments": [],
            "source": "generated",
        }


def write_posts(texts: Sequence[list[str]], count: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    streams = [(folder / f"posts-{n}.jsonl").open("w", encoding="utf-8") for n in range(FILES)]
    for number, post in enumerate(make_posts(texts, count)):
        streams[number * FILES // count].write(json.dumps(post, ensure_ascii=False) + "\n")
    for stream in streams:
        stream.close()
    (folder / "million.toml").write_text(RECIPE, encoding="utf-8")


class _Watch:
    """The peak of the memory of a process and its children."""

    def __init__(self, process: int) -> None:
        self._root = psutil.Process(process)
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            try:
                all_of = [self._root, *self._root.children(recursive=True)]
                used = sum(_memory(one) for one in all_of)
            except psutil.Error:
                continue
            self.peak = max(self.peak, used / 2**20)

    def stop(self) -> float:
        self._over.set()
        self._thread.join()
        return self.peak


def _memory(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(info, "pss", info.uss))


def measure(folder: Path, posts: int, workers: int, *, verbose: bool) -> Measured:
    out = folder / "out"
    command = [sys.executable, "-m", "oa_chat", "prepare", str(folder / "million.toml")]
    command += ["--out", str(out), "--workers", str(workers)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    quiet = None if verbose else subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        watch = _Watch(process.pid)
        code = process.wait()
    wall = time.monotonic() - began
    peak = watch.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f"prepare ended with {code}; see --verbose")
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    near = sum(manifest["drops"].get("near", {}).values())
    return Measured(posts, wall, cpu, peak, manifest["counts"]["kept"], near)


def print_measured(measured: Sequence[Measured]) -> None:
    rows = []
    for one in measured:
        goal = f"{GOAL_SECONDS:.0f} s, {GOAL_MIB} MiB" if one.posts == 1_000_000 else ""
        cost = f"{one.cpu / one.posts * 1e6:.0f} µs/post"
        rows.append(
            Row(
                f"{one.posts:,} posts",
                f"{one.wall:.1f} s wall, {one.cpu:.1f} s CPU, {one.peak:.0f} MiB",
                f"kept {one.kept:,}, near {one.near:,}",
                cost,
                goal,
            )
        )
    print_table("prepare (cost in the column ratio)", rows)


def plot(measured: Sequence[Measured], path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "oa-chat"
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    posts = [one.posts / 1e6 for one in measured]
    axes.plot(posts, [one.wall for one in measured], "o-", label="wall time")
    axes.plot(posts, [one.cpu for one in measured], "s--", label="processor time")
    axes.set_xlabel("posts, millions")
    axes.set_ylabel("seconds")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds guard/")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--all", action="store_true", help="100k, 300k, 1M and 3M")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--plot", type=Path, help="an SVG file to draw")
    parser.add_argument("--folder", type=Path, help="keep posts and datasets here")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    texts = pack_texts(options.data)
    measured = []
    with tempfile.TemporaryDirectory() as temporary:
        for size in SIZES if options.all else options.sizes:
            folder = (options.folder or Path(temporary)) / str(size)
            if not (folder / "million.toml").exists():
                write_posts(texts, size, folder)
            subprocess.run(["rm", "-rf", str(folder / "out")], check=True)
            measured.append(measure(folder, size, options.workers, verbose=options.verbose))
            print_measured(measured[-1:])
    if len(measured) > 1:
        print_measured(measured)
    if options.plot:
        plot(measured, options.plot)


if __name__ == "__main__":
    main()
