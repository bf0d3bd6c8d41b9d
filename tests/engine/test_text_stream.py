"""Streaming text: whole characters, no stop strings, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oa_chat.engine.text_stream import TextStream


def _stream(data: list[bytes], **settings: object) -> tuple[list[tuple[str, int]], bool]:
    sent: list[tuple[str, int]] = []
    stream = TextStream(lambda text, tokens: sent.append((text, tokens)), **settings)  # type: ignore[arg-type]
    stopped = any(stream.feed(piece) for piece in data)
    stream.end()
    assert stream.text == "".join(text for text, _ in sent)
    return sent, stopped


def test_the_first_token_is_sent_at_once_and_the_next_wait() -> None:
    sent, _ = _stream([b"a", b"b", b"c"])
    assert sent == [("a", 1), ("bc", 2)]


def test_characters_are_whole() -> None:
    sent, _ = _stream([bytes([byte]) for byte in "é€😀".encode()])
    assert sent[0] == ("é", 2)
    assert "".join(text for text, _ in sent) == "é€😀"


def test_half_a_character_at_the_end_is_marked() -> None:
    assert _stream(["€".encode()[:2]])[0] == [("\ufffd", 1)]


def test_leading_blanks_are_trimmed_on_wish() -> None:
    assert _stream([b" ", b" a", b" "], trim_start=True)[0] == [("a", 2), (" ", 1)]
    assert _stream([b" a"])[0] == [(" a", 1)]


def test_stop_strings_are_found_across_tokens() -> None:
    sent, stopped = _stream([b"yes\n", b"\nUs", b"er: no"], stop=["\nUser:"])
    assert stopped
    assert "".join(text for text, _ in sent) == "yes\n"


def test_the_start_of_a_stop_string_is_sent_when_it_comes_to_nothing() -> None:
    sent, stopped = _stream([b"a\nU", b"tah"], stop=["\nUser:", "", "\nUT"])
    assert not stopped
    assert "".join(text for text, _ in sent) == "a\nUtah"


@given(
    text=st.text(alphabet="ab€😀\n"),
    sizes=st.lists(st.integers(1, 5), min_size=1),
    stop=st.text(alphabet="ab€\n", min_size=1, max_size=3),
)
def test_all_text_before_a_stop_arrives(text: str, sizes: list[int], stop: str) -> None:
    data = text.encode()
    pieces, at, number = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + sizes[number % len(sizes)]])
        at += len(pieces[-1])
        number += 1
    sent, stopped = _stream(pieces, stop=[stop])
    got = "".join(part for part, _ in sent)
    assert stopped == (stop in text)
    assert got == text.partition(stop)[0]
