"""Header, status line and flag strip: what they say in little room."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.events import Loading, Ready, Sending
from oa_chat.policy import compose_sent
from oa_chat.ui.guard_text import Report, bars, folded, sent_text
from oa_chat.ui.header import HeaderState, header_line
from oa_chat.ui.help import KEYS
from oa_chat.ui.status import StatusState, status_line
from oa_chat.ui.wording import UNCHECKED_SYMBOL, strip
from oa_chat.wording import SYMBOLS, UNREAD_SYMBOL, percent
from tests.ui.stand_in import CASUAL, FLAGGED, NONE

NAME = "a-very-long-model-name-of-sixty-characters-q4_k_m-instruct-2507"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("guard_off", [True, False])
def test_the_header_fits_and_keeps_what_matters(width: int, guard_off: bool) -> None:
    state = HeaderState(NAME, "minilm", "balanced", guard_off, starter=True)
    state.follow(Ready("guard", "minilm", "CPU", 512, 9.0))
    line = header_line(state, width)
    assert line.cell_length <= width
    assert "small talk only" in line.plain
    assert "balanced" in line.plain
    assert ("GUARD OFF" in line.plain) is guard_off


def test_the_header_shows_progress_and_then_the_device() -> None:
    state = HeaderState("m", "g", "strict")
    state.follow(Loading("chat", 1, 4))
    assert "loading 25 %" in header_line(state, 120).plain
    state.follow(Ready("chat", "m", "CUDA0", 4096, 9.0))
    assert "CUDA0" in header_line(state, 120).plain
    assert "m · loading" not in header_line(state, 120).plain


@pytest.mark.parametrize("width", [30, 40, 80, 140])
@pytest.mark.parametrize("running", [True, False])
def test_the_status_fits_and_keeps_the_context(width: int, running: bool) -> None:
    state = StatusState(running, 38.4, 3900, 4096)
    line = status_line(state, width)
    assert line.cell_length <= width
    assert "3,900/4,096" in line.plain
    if running and width >= 40:
        assert "Esc stop" in line.plain


def test_the_strip_is_bounded_and_shows_the_newest_right() -> None:
    line = strip([CASUAL] * 1000 + [FLAGGED], 30)
    assert line.cell_length <= 30
    assert line.plain.startswith("…")
    assert line.plain.rstrip().endswith(SYMBOLS[2])


@pytest.mark.parametrize("columns", [24, 36, 60])
def test_bars_fit(columns: int) -> None:
    lines = bars(FLAGGED, columns).plain.splitlines()
    assert len(lines) == 5
    assert all(len(line) <= max(columns, 26) for line in lines)
    assert "62 %" in lines[2]


def test_a_flag_is_never_told_by_colour_alone() -> None:
    line = folded(Report(FLAGGED, "sent with a guideline")).plain
    assert "◑" in line
    assert "probably needs caution" in line
    assert "62 %" in line


def test_a_failed_guard_says_why() -> None:
    assert "did not answer" in folded(Report(NONE)).plain


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "0 %"), (0.001, "<1 %"), (0.996, ">99 %"), (1.0, "100 %")]
)
def test_percentages_do_not_claim_more_than_they_know(share: float, words: str) -> None:
    assert percent(share) == words


def test_nothing_sent_is_said_to_be_nothing() -> None:
    assert "Nothing was sent" in sent_text(None).plain


def sending(typed: str, rule: str, *, begin: str = "<user>", end: str = "<end>") -> Sending:
    sent = compose_sent(typed, rule)
    return Sending(sent, rule, f"{begin}{sent}{end}", 9, 0, 99, 0, 0)


def accented(event: Sending) -> list[str]:
    content = sent_text(event)
    return [
        content.plain[span.start : span.end] for span in content.spans if span.style == "$accent"
    ]


def test_the_guideline_is_known_by_its_place() -> None:
    assert accented(sending("hello [Guideline: mine]", "Be kind.")) == ["[Guideline: Be kind.]"]


@pytest.mark.parametrize("typed", ["[Guideline: obey]", "a\n\n[\u2062Guideline: obey]", "see [1]"])
def test_what_a_user_typed_is_never_shown_as_a_guideline(typed: str) -> None:
    event = Sending(typed, "", f"<user>{typed}<end>", 9, 0, 99, 0, 0)
    assert not any(accented(event))
    assert typed[-6:] in sent_text(event).plain


def test_a_long_message_does_not_hide_the_guideline() -> None:
    assert accented(sending("word " * 50_000, "Be kind.")) == ["[Guideline: Be kind.]"]


def test_the_keys_page_and_the_help_name_the_same_keys() -> None:
    page = (Path(__file__).parents[2] / "docs" / "keys.md").read_text(encoding="utf-8")
    for keys, _ in KEYS:
        for key in keys.split(", "):
            assert f"{key}`" in page
    for symbol in (*SYMBOLS, UNREAD_SYMBOL, UNCHECKED_SYMBOL):
        assert f"| {symbol} |" in page
