"""Text from others reaches the terminal as text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.printable import printable
from oa_chat.ui.texts import excerpt, one_line, printable_columns

DANGEROUS = {"Cc", "Cs"}


@given(st.text(alphabet=st.characters(), max_size=200))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for character in printable(text):
        assert character in "\n\t" or unicodedata.category(character) not in DANGEROUS
        assert not 0x202A <= ord(character) <= 0x202E
        assert not 0x2066 <= ord(character) <= 0x2069


@given(st.text(alphabet=st.characters(), max_size=200))
def test_columns_stay_where_they_are(text: str) -> None:
    assert len(printable_columns(text)) == len(text)


@given(st.text(max_size=50))
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    once = printable(text)
    assert printable(once) == once


def test_an_escape_sequence_is_visible() -> None:
    assert printable("\x1b[31mred") == "␛[31mred"


def test_lone_surrogates_can_be_encoded_afterwards() -> None:
    printable("\ud800").encode()


def test_line_separators_become_lines() -> None:
    assert printable("a\u2028b") == "a\nb"


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "x\n" * 500_000, "\x1b" * 1_000_000],
    ids=["line", "lines", "controls"],
)
def test_excerpts_are_short(text: str) -> None:
    shown = excerpt(text)
    assert len(shown) < 6000
    assert "more characters" in shown


def test_an_excerpt_of_a_short_text_is_the_text() -> None:
    assert excerpt("hello\nworld") == "hello\nworld"


def test_one_line_is_one_line() -> None:
    assert one_line("a\n b\x1b c") == "a b␛ c"
    assert one_line("word " * 1000, 10) == "word word…"
