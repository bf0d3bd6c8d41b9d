"""Cutting long texts: nothing is lost, nothing is unbounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from oa_chat.engine import cuts

TEXT = st.text(alphabet=st.sampled_from("ab .!?\n\"'”)。é\u200b"), max_size=200)
LONG = st.builds(lambda piece, times: piece * times, TEXT, st.integers(1, 60))


@given(LONG)
@settings(max_examples=60, deadline=None)
def test_sentences_joined_are_the_text_and_none_is_long(text: str) -> None:
    pieces = list(cuts.sentences(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 2000 for piece in pieces)


def test_sentences_end_where_people_end_them() -> None:
    text = (
        'He said "Stop!" and left. No. 3.5 metres? 你好,我今天要去图书馆。再见了我的朋友们啊\n\nBye'
    )
    pieces = [piece.strip() for piece in cuts.sentences(text)]
    assert pieces == [
        'He said "Stop!"',
        "and left.",
        "No. 3.5 metres?",
        "你好,我今天要去图书馆。",
        "再见了我的朋友们啊",
        "Bye",
    ]


@given(st.integers(0, 1000), st.integers(8, 200))
@settings(max_examples=60, deadline=None)
def test_overlapping_spans_cover_every_run_of_half_a_span(length: int, size: int) -> None:
    spans = cuts.overlapping((0, length), size)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(end - start <= size for start, end in spans)
    half = size - max(1, size // 2)
    for first in range(0, length - half, max(1, half // 3)):
        assert any(start <= first and first + half <= end for start, end in spans)


def test_short_sentences_join_what_follows() -> None:
    assert cuts.joined([(0, 2), (2, 12), (12, 30), (30, 31)], 6) == [(0, 12), (12, 30), (30, 31)]
    assert cuts.joined([], 6) == []


@given(st.integers(1, 1000), st.integers(8, 100), st.data())
@settings(max_examples=60, deadline=None)
def test_inside_finds_the_windows_around_a_piece(
    length: int, size: int, data: st.DataObject
) -> None:
    windows = cuts.overlapping((0, length), size)
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, min(length, start + size // 2)))
    expected = [n for n, (a, b) in enumerate(windows) if a <= start and end <= b]
    assert list(cuts.inside((start, end), windows)) == expected != []


def test_a_megabyte_of_anything_is_cut_into_few_pieces() -> None:
    for text in (
        "!" * 10**6,
        "!'" * 500_000,
        "'" * 10**6,
        "\n" * 10**6,
        "! " * 500_000,
        "ab " * 333_333,
    ):
        pieces = list(cuts.sentences(text))
        assert sum(map(len, pieces)) == len(text)
        assert max(map(len, pieces)) <= 2000
        assert len(pieces) <= len(text) / 10
