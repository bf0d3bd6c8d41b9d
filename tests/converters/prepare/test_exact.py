from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.prepare.exact import FINGERPRINT_BYTES, fingerprint
from converters.prepare.letters import folded, letters_in


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World!", "hello world"),
        ("It's 5 o'clock", "its 5 OCLOCK"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("heart \u2764\ufe0f", "heart \u2764"),
    ],
)
def test_case_spaces_and_punctuation_do_not_count(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tea", "teas"),
        ("such 🔧", "such ♿"),
        ("?!", "..."),
        ("की", "का"),
        ("5 apples", "6 apples"),
    ],
)
def test_letters_digits_marks_and_pictures_do(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_the_turns_before_count_with_who_said_them() -> None:
    alone = fingerprint("yes")
    after = fingerprint("yes", [("assistant", "Tea?")])
    assert len({alone, after, fingerprint("yes", [("user", "Tea?")])}) == 3
    assert after == fingerprint("Yes!", [("assistant", "tea")])
    split = fingerprint("c", [("user", "a"), ("user", "b")])
    assert split != fingerprint("c", [("user", "ab")])


def test_other_processes_agree() -> None:
    code = (
        "from converters.prepare.exact import fingerprint;print(fingerprint('Tea, please').hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == fingerprint("tea PLEASE").hex()
    assert len(fingerprint("")) == FINGERPRINT_BYTES


def test_letters_are_counted_in_any_script() -> None:
    assert letters_in("a1 b2!") == 2
    assert letters_in("चाय 🔧") == 3
    assert letters_in("<3") == 0


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert len(fingerprint(text)) == FINGERPRINT_BYTES
