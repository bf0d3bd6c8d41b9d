"""Nothing that a terminal would obey is printed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x9b31m", "\ufffd31m"),
        ("a\rb\r\nc", "ab\nc"),
        ("\x07\x00\x7f", "␇␀␡"),
        ("\u202eevil", "evil"),
        ("hi\U000e0041\U000e0042", "hi"),
        ("\ud800", "\ufffd"),
        ("مرحبا 🙂", "مرحبا 🙂"),
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters()))
def test_no_control_character_is_left(text: str) -> None:
    shown = printable(text)
    assert all(
        character in "\n\t" or unicodedata.category(character) != "Cc" for character in shown
    )
    shown.encode()
    assert printable(shown) == shown
