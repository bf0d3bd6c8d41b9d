"""How well near duplicates are found: `python -m benchmarks.near_duplicates --data FOLDER`.

Takes 20,000 texts of a folder of packs (`*.jsonl.gz` with a `text`), changes a tenth of them a
little, finds by exact Jaccard similarity all pairs that are near, and compares. Recall: of the near
pairs, how many are in one group. Precision: of the records dropped, how many are near one that
stays. Also the processor time of a post, and how it grows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.table import Row, print_table
from converters.prepare.letters import folded
from converters.prepare.near import (
    BANDS,
    THRESHOLD,
    Messages,
    band_keys,
    bucket_pairs,
    joined_pairs,
    losers,
    near_duplicates,
)

_SEED = 3


def read_texts(folder: Path) -> list[str]:
    """Every message of the packs, in the order of the files' names."""
    texts = []
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            rows = map(json.loads, stream)
            texts += [row["text"] for row in rows if isinstance(row.get("text"), str)]
    return texts


def changed(text: str, random_: random.Random) -> str:
    """The text as somebody would post it again: a typing error, a word more or less, an emoji."""
    words = text.split()
    for _ in range(random_.randint(1, 1 + len(words) // 12)):
        at = random_.randrange(len(words))
        match random_.randrange(5):
            case 0 if len(words) > 3:
                del words[at]
            case 1:
                words.insert(at, random_.choice(("really", "just", "like", "so", "lol")))
            case 2:
                words[at] = words[at][:-1] + words[at][-1:] * 2
            case 3:
                words.append(random_.choice(("!!", "lol", "\N{FACE WITH TEARS OF JOY}", "tbh")))
            case _:
                words[at] = words[at].upper()
    return " ".join(words)


def sample(texts: list[str], count: int, share: float = 0.1) -> list[str]:
    """`count` texts of which a share are changed copies of others."""
    random_ = random.Random(_SEED)
    pool = [text for text in texts if 5 <= len(text.split()) <= 30]
    own = count - int(count * share)
    chosen = [pool[at % len(pool)] for at in random_.sample(range(max(own, len(pool))), own)]
    copies = [changed(random_.choice(chosen), random_) for _ in range(count - own)]
    mixed = chosen + copies
    random_.shuffle(mixed)
    return mixed


def exact_pairs(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """All pairs that are near, by comparing all sets that share a gram (prefix filtering)."""
    sets = []
    for text in texts:
        bare = folded(text)
        sets.append({bare[at : at + 5] for at in range(max(1, len(bare) - 4))})
    frequency: defaultdict[str, int] = defaultdict(int)
    for grams in sets:
        for gram in grams:
            frequency[gram] += 1
    index: defaultdict[str, list[int]] = defaultdict(list)
    found = {}
    for number, grams in enumerate(sets):
        # Two near sets share one of their rarest grams (Chaudhuri and others, 2006).
        rare = sorted(grams, key=lambda gram: (frequency[gram], gram))
        prefix = rare[: len(grams) - int(np.ceil(threshold * len(grams))) + 1]
        for other in {other for gram in prefix for other in index[gram]}:
            common = len(grams & sets[other])
            similarity = common / (len(grams) + len(sets[other]) - common)
            if similarity >= threshold:
                found[other, number] = similarity
        for gram in prefix:
            index[gram].append(number)
    return found


def compare(texts: list[str]) -> list[Row]:
    truth = exact_pairs(texts, THRESHOLD)
    keys = band_keys(texts)
    rank = np.arange(len(texts))
    pairs = joined_pairs(bucket_pairs(keys[:, band]) for band in range(BANDS))
    proposed = set(map(tuple, pairs.tolist()))
    result = losers(Messages(texts), pairs, rank)
    stays = dict(zip(result.number.tolist(), result.kept.tolist(), strict=True))
    ends = sum(left in stays or right in stays for left, right in truth)
    right = sum((min(pair), max(pair)) in truth for pair in stays.items())
    wanted = {number for pair in truth for number in pair}
    return [
        Row("texts", f"{len(texts):,}"),
        Row("near pairs by exact Jaccard", f"{len(truth):,}"),
        Row("proposed by bands", f"{len(proposed):,}"),
        Row("recall: a pair with one dropped", f"{ends / len(truth):.2%}", goal=">= 95 %"),
        Row("precision: dropped, near who stays", f"{right / len(stays):.2%}", goal=">= 98 %"),
        Row("dropped, of those in near pairs", f"{len(stays):,} of {len(wanted):,}"),
    ]


def costs(texts: list[str], counts: list[int]) -> list[Row]:
    rows = []
    for count in counts:
        posts = sample(texts, count)
        started = time.process_time()
        keys = band_keys(posts)
        middle = time.process_time()
        result = near_duplicates(Messages(posts), keys, np.arange(count))
        ended = time.process_time()
        signing, finding = (1e6 * span / count for span in (middle - started, ended - middle))
        what = f"{count:,} posts: keys, finding (CPU a post)"
        dropped = f"{result.number.size / count:.1%} dropped"
        rows.append(Row(what, f"{signing:.1f} + {finding:.1f} us", ratio=dropped, goal="<= 12 us"))
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with *.jsonl.gz packs")
    parser.add_argument("--sample", type=int, default=20_000)
    parser.add_argument("--counts", type=int, nargs="*", default=[20_000, 100_000])
    asked = parser.parse_args(arguments)
    texts = read_texts(asked.data)
    print_table("Near duplicates against exact Jaccard", compare(sample(texts, asked.sample)))
    print_table("What they cost", costs(texts, asked.counts))


if __name__ == "__main__":
    main(sys.argv[1:])
