"""How probable each label was at the place where a model wrote one of them.

The probability of a label is the product of its tokens' probabilities, each after the ones before
it. Nothing is normalised: if the labels' sum is far below 1, the model was not about to write a
label. It does not decide what a label means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from oa_chat.engine.decoder import MOST_ROWS, Decoder

NEGLIGIBLE = 1e-4
"""A label whose beginning is less probable than this is not followed to its end: the value given
for it is that upper bound. Saves most of the decoding when a guard is sure."""


def label_in(text: str, labels: Sequence[str]) -> str | None:
    """The wanted label that `text` holds whole, the longest one if they hold each other."""
    found = [label for label in labels if label and label in text]
    return max(found, key=len, default=None)


def label_tokens(
    written: Sequence[int],
    label: str,
    labels: Sequence[str],
    tokenize: Callable[[str], list[int]],
) -> list[list[int]] | None:
    """All labels as tokens; None unless those of `label` are what ends `written`."""
    rows = [tokenize(other) for other in labels]
    own = rows[labels.index(label)]
    fits = list(written[-len(own) :]) == own and all(0 < len(row) < MOST_ROWS for row in rows)
    return rows if fits else None


def score(
    decoder: Decoder, before: int, at: int, own: Sequence[int], rows: Sequence[Sequence[int]]
) -> list[float]:
    """The probability of each label of `rows` behind the token `before`, which is at `at`.

    `own` is the label that was written. Afterwards the decoder holds something else behind `at`.
    """
    written = decoder.decode([before, *own], at, rows=True)
    shared = [_shared(row, own) for row in rows]
    scores = [0.0] * len(rows)
    # The longest share with the written label first: what is shared then stays in the decoder.
    for number in sorted(range(len(rows)), key=lambda number: -shared[number]):
        common, rest = shared[number], rows[number][shared[number] :]
        steps = [row.probability(token) for row, token in zip(written, own[:common], strict=False)]
        probability = math.prod(steps)
        if rest:
            probability *= written[common].probability(rest[0])
        if len(rest) > 1 and probability >= NEGLIGIBLE:
            follow = decoder.decode(rest[:-1], at + 1 + common, rows=True)
            probability *= math.prod(
                row.probability(token) for row, token in zip(follow, rest[1:], strict=True)
            )
        scores[number] = probability
    return scores


def _shared(row: Sequence[int], own: Sequence[int]) -> int:
    """How many tokens at the front are the same."""
    pairs = zip(row, own, strict=False)
    return next(
        (n for n, (one, other) in enumerate(pairs) if one != other), min(map(len, (row, own)))
    )
