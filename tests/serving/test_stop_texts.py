"""Stop texts are found wherever a reply is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oa_chat.serving.stop_texts import StopTexts


def said(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    reader = StopTexts(stops)
    text = "".join(reader.feed(piece) for piece in pieces)
    return text + ("" if reader.hit else reader.rest()), reader.hit


def test_a_stop_text_in_two_pieces_is_found_and_not_said() -> None:
    assert said(["one EN", "D two"], ["END"]) == ("one ", True)
    assert said(["one EN", "E two"], ["END"]) == ("one ENE two", False)


@given(
    st.lists(st.text("ab", max_size=4), max_size=6),
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=3),
)
def test_pieces_make_no_difference(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    places = [whole.find(stop) for stop in stops if stop in whole]
    text, hit = said(pieces, stops)
    assert hit == bool(places)
    if not hit:
        assert text == whole
    else:
        assert whole.startswith(text)
        assert not any(stop in text for stop in stops)
