"""Two guards on the screen: where they run, and what each said and cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oa_chat.errors import ModelError
from oa_chat.events import LoadFailed, Loading, Ready
from oa_chat.guards.stages import Staging, combined
from oa_chat.ui.guard_text import judged_by
from oa_chat.ui.header import HeaderState, header_line
from oa_chat.ui.welcome import failure_words
from oa_chat.verdict import Severity, Stage, Verdict, unreadable
from tests.ui.driving import app_with, say, shown, started
from tests.ui.stand_in import CASUAL, FLAGGED, Script, StandIn

STRONG = replace(CASUAL, guard="strong-8b-q4_k_m", latency_ms=1234.0)
CONTRADICTED = combined(FLAGGED, STRONG, Staging("flagged"))


def ready(part: str, device: str) -> Ready:
    return Ready(part, part, device, 512, 9.0)


def test_the_header_shows_where_guards_run_if_elsewhere() -> None:
    state = HeaderState("m", "g", "strict")
    state.follow(ready("guard", "CPU"))
    assert "CPU" not in header_line(state, 120).plain  # the chat model's place is not known yet
    state.follow(ready("chat", "CPU"))
    assert header_line(state, 120).plain.count("CPU") == 1
    state.follow(ready("chat", "CUDA0 (24/24 layers)"))
    line = header_line(state, 120).plain
    assert line.index("CUDA0 (24/24 layers)") < line.index("g · CPU")


def test_the_header_shows_how_far_the_second_guard_is() -> None:
    state = HeaderState("m", "fast + strong", "strict")
    for part in ("guard", "chat"):
        state.follow(ready(part, "CPU"))
    assert "second" not in header_line(state, 120).plain
    state.follow(Loading("second guard", 1, 4))
    assert "second loading 25 %" in header_line(state, 120).plain
    failed = LoadFailed("second guard", ModelError("It is damaged."))
    state.follow(failed)
    assert "second could not be loaded" in header_line(state, 120).plain
    assert failure_words(failed).startswith("The second guard could not be loaded. It is damaged.")
    state.follow(ready("second guard", "CUDA0"))
    assert "strong · CUDA0" in header_line(state, 120).plain
    for width in (40, 60, 80):
        assert header_line(state, width).cell_length <= width


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
async def test_the_panel_shows_both_guards(size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([CONTRADICTED])]))
    async with app.run_test(size=size) as pilot:
        await started(pilot, app)
        await say(pilot, app, "My friend told everyone my secret.")
        if size[0] < 100:
            await pilot.press("f3")
            await pilot.pause()
        screen = " ".join(shown(app).replace("│", " ").split())
        assert "strong-8b-q4_k_m" in screen
        assert "1,234 ms" in screen


def test_what_each_guard_said_is_one_line_each_and_printable() -> None:
    lines = judged_by(CONTRADICTED).plain.splitlines()
    assert lines[1:] == [
        "minilm-l6: ◑ probably needs caution (62 %), 47 ms",
        "strong-8b-q4_k_m: ○ casual (94 %), 1,234 ms; asked: the first flagged it",
        "They contradict each other; strong-8b-q4_k_m counts",
    ]
    alone = judged_by(combined(CASUAL, None, Staging(), "strong")).plain.splitlines()
    assert alone[-1] == "strong: not asked, the first is sure (casual 94 %)"
    broken = combined(FLAGGED, unreadable("strong", "it hangs", latency_ms=2), Staging("flagged"))
    assert "strong: ? no verdict, 2 ms; asked: the first flagged it" in judged_by(broken).plain
    stage = Stage("a\x1b[31m\nb", asked=False, why="\x07\nwhy")
    hostile = judged_by(Verdict(Severity.CASUAL, "g", stages=(stage,))).plain
    assert "\x1b" not in hostile
    assert len(hostile.splitlines()) == 2
