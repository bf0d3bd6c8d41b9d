"""What the row steps cost: `python -m benchmarks.prepare_steps --data FOLDER`.

Takes short texts of a folder of packs and prints the processor time that each step of `oa-chat
prepare` takes for a post, then decontamination and attaching with `--embed`. Also how often the
question step is right about sentences of the packs whose mark was taken away.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.near_duplicates import read_texts, sample
from benchmarks.table import Row, print_table
from converters.prepare.contamination import EvaluationSets
from converters.prepare.draft import Draft, RowStep
from converters.prepare.exact import fingerprint
from converters.prepare.steps.asking import is_question
from converters.prepare.steps.registry import STEPS


def timed(work: Callable[[], object], count: int, runs: int = 3) -> float:
    """Processor time in microseconds for each of `count`: the least of some runs."""
    spans = []
    for _ in range(runs):
        started = time.process_time()
        work()
        spans.append((time.process_time() - started) * 1e6 / count)
    return min(spans)


def _apply_all(step: RowStep, drafts: list[Draft]) -> None:
    for draft in drafts:
        step.apply(draft)


def step_costs(texts: list[str]) -> list[Row]:
    rows, total = [], 0.0
    for name, kind in STEPS.items():
        step = kind.make(kind.struct())

        spans = []
        for _ in range(3):
            drafts = [Draft("1", "s", "t", "", "", text, [], (), ()) for text in texts]
            spans.append(timed(partial(_apply_all, step, drafts), len(texts), 1))
        span = min(spans)
        total += span
        rows.append(Row(name, f"{span:.1f} us"))
    rows.append(Row("all row steps", f"{total:.1f} us", goal="<= 35 us"))
    spent = timed(lambda: [fingerprint(text) for text in texts], len(texts))
    rows.append(Row("exact: fingerprint", f"{spent:.1f} us"))
    return rows


def contamination_cost(folder: Path, texts: list[str]) -> Row:
    rows = list(enumerate(read_texts(folder), start=1))
    sets = EvaluationSets({"eval": rows})
    spent = timed(lambda: sets.find_all(texts), len(texts))
    return Row(f"decontaminate against {len(rows):,} rows", f"{spent:.1f} us")


def question_rows(texts: list[str]) -> list[Row]:
    """Sentences with their last mark taken away: did it ask?"""
    asked = [text[:-1] for text in texts if text.endswith("?") and text.count("?") == 1]
    said = [text[:-1] for text in texts if text.endswith(".") and "?" not in text]
    found, wrong = sum(map(is_question, asked)), sum(map(is_question, said))
    return [
        Row("questions without their mark, found", f"{found / len(asked):.1%} of {len(asked):,}"),
        Row("statements taken for questions", f"{wrong / len(said):.1%} of {len(said):,}"),
    ]


def embedding_row(texts: list[str]) -> Row:
    from converters.prepare.embeddings import Embedder
    from oa_chat.catalog import GUARD, embedded_path

    with tempfile.TemporaryDirectory() as cache:
        embedder = Embedder(embedded_path(GUARD), Path(cache))
        started = time.perf_counter()
        embedder.vectors(texts)
        spent = time.perf_counter() - started
        started = time.perf_counter()
        embedder.vectors(texts)
        again = time.perf_counter() - started
    per = 1000 / len(texts)
    return Row("embed 1,000 posts, remembered", f"{spent * per:.1f} s, {again * per:.3f} s")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with *.jsonl.gz packs")
    parser.add_argument("--eval", type=Path, help="folder of evaluation packs")
    parser.add_argument("--embed", type=int, default=0, metavar="N", help="embed N posts as well")
    asked = parser.parse_args(arguments)
    texts = read_texts(asked.data)
    posts = sample(texts, 20_000)
    words = sum(len(text.split()) for text in posts) / len(posts)
    print_table(f"Row steps, CPU for a post of {words:.0f} words", step_costs(posts))
    others = question_rows(texts)
    if asked.eval:
        others.append(contamination_cost(asked.eval, posts[:5000]))
    if asked.embed:
        others.append(embedding_row(posts[: asked.embed]))
    print_table("Others", others)


if __name__ == "__main__":
    main(sys.argv[1:])
