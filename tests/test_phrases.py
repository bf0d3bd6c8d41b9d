"""Phrases are found as whole words, however they are dressed up, and nowhere else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.phrases import MOST_PHRASES, Phrases, fold


@pytest.mark.parametrize(
    "text",
    [
        "kill the process",
        "Please KILL  the\n process now.",
        "how do I (kill the process)?",
        "ｋｉｌｌ the process",
        "kіll thе prоcess",  # Cyrillic i, e and o
        "k\u200bill\u00ad the pro\u2060cess",
        "kíll thë procéss",
        "𝐤𝐢𝐥𝐥 the process",
        "kill\u00a0the\u3000process",
        "k\ufe0fill \u202ethe process",
        "k\U000e0041ill the process",
    ],
)
def test_a_phrase_is_seen_through_its_dress(text: str) -> None:
    assert Phrases(("Kill the process",)).first_in(text) == "Kill the process"


@pytest.mark.parametrize(
    "text", ["skill the process", "kill the processes", "kill_the_process", "kill a process", ""]
)
def test_other_words_are_no_phrase(text: str) -> None:
    assert Phrases(("kill the process",)).first_in(text) == ""


def test_a_phrase_is_text_and_no_pattern() -> None:
    phrases = Phrases(("a.c", "c++", "(x|y)"))
    assert phrases.first_in("abc") == ""
    assert phrases.first_in("I write C++ code") == "c++"
    assert phrases.first_in("it says (X|Y) here") == "(x|y)"
    assert phrases.first_in("c") == ""


@pytest.mark.parametrize(
    ("phrase", "text"),
    [("杀人", "我想杀人了"), ("ฆ่า", "อยากฆ่าเขา"), ("straße", "STRASSE"), ("naïve", "a naive plan")],
)
def test_other_scripts(phrase: str, text: str) -> None:
    assert Phrases((phrase,)).first_in(text) == phrase


def test_signs_of_other_scripts_are_kept_apart() -> None:
    assert Phrases(("कि",)).first_in("का") == ""
    assert Phrases(("कि",)).first_in("वह कि आया") == "कि"


def test_the_first_phrase_counts_and_the_longer_of_two() -> None:
    phrases = Phrases(("kill", "kill the process", "please"))
    assert phrases.first_in("kill the process please") == "kill the process"
    assert phrases.first_in("please kill") == "please"


def test_no_phrases_find_nothing() -> None:
    assert Phrases().first_in("anything at all") == ""


@given(st.text(max_size=200))
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold(text)
    assert fold(once) == once


@given(
    st.text(alphabet="abcdefgh", min_size=1, max_size=12),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_a_word_between_others_is_found_in_any_case(word: str, before: str, after: str) -> None:
    assert Phrases((word,)).first_in(f"{before} . {word.upper()} . {after}") == word


def test_a_long_list_and_a_long_text_are_quick() -> None:
    phrases = Phrases(tuple(f"word{number} thing{number}" for number in range(MOST_PHRASES)))
    text = "word1 thing " * 20_000
    started = time.perf_counter()
    assert phrases.first_in(text) == ""
    assert time.perf_counter() - started < 5
