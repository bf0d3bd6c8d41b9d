"""Fitting messages into a guard: context gives way, the newest message never does."""

from hypothesis import given
from hypothesis import strategies as st

from oa_chat.conversation import Message
from oa_chat.guards.family import Reading
from oa_chat.guards.windows import fitted, overlapping, shortened, worst
from oa_chat.verdict import Severity


def test_context_is_cut_and_the_newest_message_is_not() -> None:
    turns = [Message("user", str(number) * 5000) for number in range(9)] * 3
    cut = shortened([*turns, Message("user", "x" * 100_000)])
    assert len(cut) == 7
    assert cut[-1].text == "x" * 100_000
    assert all(len(message.text) == 2000 for message in cut[:-1])


def test_the_newest_context_that_fits_is_kept() -> None:
    messages = [Message("user", "old" * 10), Message("assistant", "abcdef"), Message("user", "hi")]
    assert [message.text for message in fitted(messages, 6)] == ["cdef", "hi"]
    assert [message.text for message in fitted(messages, 11)] == ["old", "abcdef", "hi"]
    assert [message.text for message in fitted(messages, 1)] == ["hi"]


@given(st.text(min_size=1), st.integers(1, 40))
def test_windows_cover_the_text_and_overlap(text: str, size: int) -> None:
    parts = [text[start:end] for start, end in overlapping(text, size)]
    assert all(len(part) <= size for part in parts)
    assert text.startswith(parts[0])
    assert text.endswith(parts[-1])
    for length in range(1, size // 2 + 1):
        for start in range(0, max(1, len(text) - length + 1), max(1, len(text) // 7)):
            assert any(text[start : start + length] in part for part in parts)


def test_the_worst_reading_counts_and_an_unreadable_one_is_the_worst() -> None:
    casual = Reading(Severity.CASUAL, (0.9, 0.1, 0.0, 0.0, 0.0))
    grave = Reading(Severity.INTERVENTION, (0.0, 0.0, 0.1, 0.2, 0.7))
    graver = Reading(Severity.INTERVENTION, (0.0, 0.0, 0.0, 0.1, 0.9))
    unreadable = Reading(None, failure="no answer")
    assert worst([casual, grave, graver]) is graver
    assert worst([casual, unreadable, grave]) is unreadable
