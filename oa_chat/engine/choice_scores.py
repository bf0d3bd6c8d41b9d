"""How probable each of some texts is as what a model writes next, whatever its tokens are.

A text's probability is that of the tokens that begin it: one that begins several of the texts is
followed until they part, one that begins a single text counts for it whole. Nothing is normalised:
if the sum is far below 1, the model was not about to write any of them. Pure; the model comes in
through functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

NEGLIGIBLE = 1e-4
"""What is less probable is not followed, and left out where it could mean several texts."""

Probability = Callable[[int], float]
"""How probable a token is as the next one."""
Follow = Callable[[tuple[int, ...]], Probability]
"""The same behind these tokens."""
Exactly = Callable[[bytes], int | None]
"""The token that is exactly these bytes, if there is one."""


def scores(texts: Sequence[str], exactly: Exactly, follow: Follow) -> list[float]:
    """The probability of each text."""
    found = [0.0] * len(texts)
    rest = {number: text.encode() for number, text in enumerate(texts) if text}
    _add(found, rest, exactly, follow, (), 1.0)
    return found


def _add(
    found: list[float],
    rest: dict[int, bytes],
    exactly: Exactly,
    follow: Follow,
    path: tuple[int, ...],
    weight: float,
) -> None:
    """Share `weight` among the texts of which `rest` is still to be written behind `path`."""
    starts: dict[bytes, list[int]] = {}
    for number, text in rest.items():
        for end in range(1, len(text) + 1):
            starts.setdefault(text[:end], []).append(number)
    probability = follow(path)
    known = {start: token for start in starts if (token := exactly(start)) is not None}
    chances = {start: weight * probability(token) for start, token in known.items()}
    for start, chance in chances.items():
        begun = starts[start]
        if len(begun) == 1:
            found[begun[0]] += chance
            continue
        if chance < NEGLIGIBLE:
            continue
        before = [found[number] for number in begun]
        longer = {n: left for n in begun if (left := rest[n][len(start) :])}
        _add(found, longer, exactly, follow, (*path, known[start]), chance)
        whole = [number for number in begun if number not in longer]
        if whole:  # what goes on to no other text stays with the one that ends here
            gone = sum(found[number] for number in begun) - sum(before)
            found[whole[0]] += max(0.0, chance - gone)
