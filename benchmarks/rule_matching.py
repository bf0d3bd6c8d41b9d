"""Which way of finding a rule of thumb is best: `python -m benchmarks.rule_matching`.

Compares BM25 with embeddings by the shipped guard's encoder, and both together. Thresholds are
chosen on the messages marked "choose" and everything printed is about those marked "report":
two halves, by hash, of the messages that were written after the rules were finished. Those
marked "seen" were there when rules were still being added, so they measure nothing.
`--sentence-model` adds a sentence-transformers model as an upper bound.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oa_chat.rule_index import RuleIndex
from oa_chat.rulebook import Rulebook

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = ROOT / "tests" / "data" / "rule_dev.jsonl"
GUARD = ROOT / "oa_chat" / "models" / "guard-minilm-q8_0.gguf"

Scores = dict[int, float]
Scorer = Callable[[str], Scores]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Message:
    text: str
    severity: int
    right: frozenset[str]
    """Ids of the rules that fit; empty if only the general rule does."""
    half: str


@dataclass
class Outcome:
    first: int = 0
    right: int = 0
    wrong: int = 0
    general: int = 0
    null_wrong: int = 0
    null: int = 0


def read_messages() -> list[Message]:
    rows = [json.loads(line) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    return [
        Message(
            text=row["text"],
            severity=row["severity"],
            right=frozenset([row["rule"], *row["also"]]) if row["rule"] else frozenset(),
            half=row["half"],
        )
        for row in rows
    ]


def pooled(book: Rulebook) -> Scorer:
    """As in the product: one document per rule."""
    return RuleIndex(((rule.text, *rule.examples) for rule in book.rules), book.same_words).scores


def by_example(book: Rulebook) -> Scorer:
    """One document per example; a rule counts as its best example does."""
    owners = [n for n, rule in enumerate(book.rules) for _ in (rule.text, *rule.examples)]
    documents = [(text,) for rule in book.rules for text in (rule.text, *rule.examples)]
    index = RuleIndex(documents, book.same_words)

    def score(message: str) -> Scores:
        best: defaultdict[int, float] = defaultdict(float)
        for number, value in index.scores(message).items():
            best[owners[number]] = max(best[owners[number]], value)
        return best

    return score


def by_embedding(book: Rulebook, vectors: dict[str, Vectors], *, nearest: bool) -> Scorer:
    """Cosine with the middle of a rule's examples, or with the nearest example too."""
    rows = [np.stack([vectors[t] for t in (rule.text, *rule.examples)]) for rule in book.rules]
    middle = np.concatenate(rows).mean(0)
    rows = [_unit(row - middle) for row in rows]
    centres = _unit(np.stack([row.mean(0) for row in rows]))

    def score(message: str) -> Scores:
        asked = _unit(vectors[message] - middle)
        values = centres @ asked
        if nearest:
            values = (values + np.array([(row @ asked).max() for row in rows])) / 2
        return dict(enumerate(values.tolist()))

    return score


def together(lexical: Scorer, semantic: Scorer) -> Scorer:
    """BM25 scores and cosines added; 20 points of BM25 weigh as much as a cosine of 1."""

    def score(message: str) -> Scores:
        words = lexical(message)
        return {n: words.get(n, 0.0) / 20 + value for n, value in semantic(message).items()}

    return score


def _unit(values: Vectors) -> Vectors:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), dtype=np.float32)


def guard_vectors(texts: Sequence[str], pooling: str) -> tuple[dict[str, Vectors], float]:
    """Embeddings by the guard's encoder on one thread, and the milliseconds for each."""
    import llama_cpp as ll

    silent = ll.llama_log_callback(lambda _level, _text, _data: None)
    ll.llama_log_set(silent, None)
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(str(GUARD).encode(), ll.llama_model_default_params())
    settings = ll.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 512
    settings.n_threads = settings.n_threads_batch = 1
    settings.embeddings = True
    settings.pooling_type = getattr(ll, f"LLAMA_POOLING_TYPE_{pooling}")
    context = ll.llama_init_from_model(model, settings)
    vocabulary, width = ll.llama_model_get_vocab(model), ll.llama_model_n_embd(model)
    buffer = (ll.llama_token * 512)()
    found, started = {}, time.perf_counter()
    for text in texts:
        raw = text.encode()
        count = ll.llama_tokenize(vocabulary, raw, len(raw), buffer, 512, True, False)
        ll.llama_encode(context, ll.llama_batch_get_one(buffer, count))
        pointer = ll.llama_get_embeddings_seq(context, 0)
        found[text] = np.ctypeslib.as_array(pointer, (width,)).copy()
    spent = (time.perf_counter() - started) * 1000 / len(texts)
    ll.llama_free(context)
    ll.llama_model_free(model)
    return found, spent


def sentence_vectors(texts: Sequence[str], path: str) -> dict[str, Vectors]:
    from sentence_transformers import SentenceTransformer

    values = SentenceTransformer(path).encode(list(texts), normalize_embeddings=True)
    return dict(zip(texts, values, strict=True))


def best_candidate(book: Rulebook, scores: Scores, severity: int) -> tuple[str, float]:
    allowed = {n: s for n, s in scores.items() if -2 <= book.rules[n].severity - severity <= 1}
    if not allowed:
        return "", -math.inf
    number = max(allowed, key=lambda n: allowed[n])
    return book.rules[number].id, allowed[number]


def thresholds(chosen: Sequence[tuple[Message, str, float]]) -> tuple[float, float]:
    """Below severity 4 and at 4. A wrong rule costs 1.5 right ones, and 3 at severity 4."""

    def best(part: list[tuple[Message, str, float]], cost: float) -> float:
        def worth(limit: float) -> float:
            said = [rule in m.right for m, rule, score in part if score >= limit]
            return sum(1.0 if right else -cost for right in said)

        return max(sorted({score for _, _, score in part}), key=worth)

    mild = best([row for row in chosen if row[0].severity < 4], 1.5)
    return mild, max(mild, best([row for row in chosen if row[0].severity == 4], 3.0))


def measure(
    rows: Sequence[tuple[Message, str, float]], limits: tuple[float, float] | None
) -> Outcome:
    out = Outcome()
    for message, rule, score in rows:
        said = limits is None or score >= limits[message.severity == 4]
        if not message.right:
            out.null += 1
            out.null_wrong += bool(said and rule)
            continue
        out.first += rule in message.right
        if not said or not rule:
            out.general += 1
        elif rule in message.right:
            out.right += 1
        else:
            out.wrong += 1
    return out


def show(name: str, out: Outcome, spent: float, limits: tuple[float, float] | None = None) -> None:
    total = out.right + out.wrong + out.general
    first = f"{out.first / total:.0%}" if limits else "-"
    chosen = f"{limits[0]:.2f}, {limits[1]:.2f}" if limits else "-"
    cost = "-" if math.isnan(spent) else f"{spent:.2f}"
    print(
        f"| {name} | {first} | {out.right / total:.0%} | {out.wrong / total:.0%} "
        f"| {out.general / total:.0%} | {out.null - out.null_wrong} of {out.null} "
        f"| {chosen} | {cost} |"
    )


def compare(
    name: str, book: Rulebook, messages: Sequence[Message], score: Scorer, ms: float
) -> None:
    started = time.perf_counter()
    rows = [(m, *best_candidate(book, score(m.text), m.severity)) for m in messages]
    ms += (time.perf_counter() - started) * 1000 / len(messages)
    limits = thresholds([row for row in rows if row[0].half == "choose"])
    show(name, measure([row for row in rows if row[0].half == "report"], limits), ms, limits)


def product(book: Rulebook, messages: Sequence[Message], off: int = 0) -> None:
    """Exactly what the program does, with its own thresholds; `off` shifts the guard's level."""
    book.match("warm up", 1)
    report = [message for message in messages if message.half == "report"]
    started = time.perf_counter()
    found = [(m, book.match(m.text, min(4, max(1, m.severity + off)))) for m in report]
    spent = (time.perf_counter() - started) * 1000 / len(report)
    rows = [(m, match.rule.id if match.rule else "", match.score) for m, match in found]
    name = f"as shipped, guard's level {off:+d}" if off else "**as shipped**"
    show(name, measure(rows, None), spent)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sentence-model", help="folder of a sentence-transformers model")
    parser.add_argument("--no-guard", action="store_true", help="leave the guard's encoder out")
    asked = parser.parse_args([] if arguments is None else arguments)
    book, messages = Rulebook.load(), read_messages()
    texts = [text for rule in book.rules for text in (rule.text, *rule.examples)]
    texts += [message.text for message in messages]
    report = [message for message in messages if message.half == "report"]
    with_rule = sum(bool(message.right) for message in report)
    print(f"{len(book.rules)} rules, {with_rule} messages with a rule, ", end="")
    print(f"{len(report) - with_rule} without\n")
    print("| matcher | first is right | right | wrong rule | general ", end="")
    print("| none fits: kept | thresholds | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for off in (0, -1, 1):
        product(book, messages, off)
    lexical = pooled(book)
    compare("BM25, rule as one document", book, messages, lexical, 0)
    compare("BM25, best example", book, messages, by_example(book), 0)
    for pooling in () if asked.no_guard else ("MEAN", "CLS"):
        vectors, ms = guard_vectors(texts, pooling)
        for nearest in (False, True):
            what = f"guard's {pooling.lower()} pooling, centre{' + nearest' * nearest}"
            semantic = by_embedding(book, vectors, nearest=nearest)
            compare(what, book, messages, semantic, ms)
            compare(f"BM25 + {what}", book, messages, together(lexical, semantic), ms)
    if asked.sentence_model:
        vectors = sentence_vectors(texts, asked.sentence_model)
        semantic = by_embedding(book, vectors, nearest=False)
        compare("sentence model, centre", book, messages, semantic, math.nan)
        compare("BM25 + sentence model", book, messages, together(lexical, semantic), math.nan)


if __name__ == "__main__":
    main(sys.argv[1:])
