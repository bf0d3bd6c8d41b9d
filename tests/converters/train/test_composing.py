"""A record among harmless messages: it keeps its place in the data and its target."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from converters.train.composing import Composer, ComposeSettings
from oa_chat.verdict import Severity
from tests.converters.train.test_classifier_training import job

HARMLESS = [tuple(range(start, start + size)) for start, size in ((100, 5), (200, 7), (300, 9))]


def inside(message: tuple[int, ...], text: tuple[int, ...]) -> bool:
    return any(text[at : at + len(message)] == message for at in range(len(text)))


@given(seed=st.integers(0, 10_000), size=st.integers(1, 80), least=st.integers(1, 80))
def test_the_message_is_whole_and_the_text_fits(seed: int, size: int, least: int) -> None:
    message = tuple(range(1, size + 1))
    composer = Composer(ComposeSettings(share=1.0, least=least), HARMLESS, room=60)
    text = composer.around(message, random.Random(seed))
    assert inside(message, text)
    assert len(text) <= max(60, len(message))
    rest = [token for token in text if token > size or token >= 100]
    assert all(100 <= token < 309 for token in rest)


def test_a_long_text_is_really_made_and_the_place_varies() -> None:
    composer = Composer(ComposeSettings(share=1.0, least=40), HARMLESS, room=60)
    texts = [composer.around((1, 2, 3), random.Random(seed)) for seed in range(200)]
    assert min(map(len, texts)) >= 40 - 9
    places = {text.index(1) / len(text) for text in texts}
    assert min(places) == 0
    assert max(places) > 0.8


def test_only_the_wanted_share_is_composed() -> None:
    composer = Composer(ComposeSettings(share=0.25), HARMLESS, room=60)
    chance = random.Random(1)
    assert 0.2 < sum(composer.wants(chance) for _ in range(4000)) / 4000 < 0.3
    assert not Composer(ComposeSettings(share=1.0), [(1, 2)], room=60).wants(chance)


def test_training_composes_with_casual_records_alone(tmp_path: Path) -> None:
    plain = job(tmp_path, "context.share=0")
    composed = job(tmp_path, "context.share=0", "compose.share=1", "compose.least=20")
    rows = composed._rows
    harmless = {
        plain.inputs_of(0)[number][1:-1]
        for number, row in enumerate(rows)
        if row.levels == {Severity.CASUAL} and not row.passage.context
    }
    changed = 0
    for number, row in enumerate(rows):
        before, after = plain.inputs_of(0)[number], composed.inputs_of(0)[number]
        if row.passage.context:
            assert after == before
            continue
        message, rest = before[1:-1], after[1:-1]
        assert inside(message, rest)
        left, right = split(message, rest)
        assert built_of(left, harmless)
        assert built_of(right, harmless)
        changed += before != after
    assert changed > len(rows) / 2
    assert composed.inputs_of(0) == job(
        tmp_path, "context.share=0", "compose.share=1", "compose.least=20"
    ).inputs_of(0)


def split(
    message: tuple[int, ...], text: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    at = next(at for at in range(len(text)) if text[at : at + len(message)] == message)
    return text[:at], text[at + len(message) :]


def built_of(text: tuple[int, ...], parts: set[tuple[int, ...]]) -> bool:
    """Whether a text is a row of such parts."""
    ends = {0}
    for at in range(len(text)):
        if at in ends:
            ends |= {at + len(part) for part in parts if text[at : at + len(part)] == part}
    return len(text) in ends
