"""Pictures of the screen. After a wanted change: ``pytest tests/ui --snapshot-update``, and look.

The stand-in has fixed numbers, the cursor does not blink and nothing moves, so that the pictures
are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from oa_chat.errors import EngineDied
from oa_chat.policies.shelf import shipped
from oa_chat.ui.app import OaChatApp
from oa_chat.verdict import Severity
from tests.ui.driving import app_with, say, started, until
from tests.ui.stand_in import (
    CASUAL,
    CAUTION,
    FLAGGED,
    HALFWAY,
    NONE,
    RULE,
    URGENT,
    Script,
    StandIn,
    finished,
    verdict,
)

SMALL, LARGE, TINY = (80, 24), (140, 45), (40, 10)
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
SECRET = "My friend told everyone my secret. How can I get back at them?"
ADVICE = (
    "That sounds like it hurt. ",
    "Before you decide, it may help to know *why* they did it:\n\n",
    "1. Ask them in a quiet moment.\n2. Say how it felt, without blame.\n\n",
    "| said | heard |\n|---|---|\n| you always | I never |\n\n",
    "```text\nCan we talk about Tuesday?\n```\n",
)
EARLIER = [
    finished(1, "Hi! What can I cook with rice?", "*Fried rice* works with what is left over."),
    finished(2, "And for a fussy child?", "Try rice balls.", verdict(Severity.POSSIBLY, RULE)),
]
HELP = ("Someone will listen, at any hour:", "  112  emergency (EU)", "  findahelpline.com")

Snap = Callable[..., bool]
Before = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


def after(app: OaChatApp, text: str = "", *keys: str, ends: bool = True) -> Before:
    """Start, say something, press keys."""

    async def act(pilot: Pilot[None]) -> None:
        app.animation_level = "none"
        await started(pilot, app)
        if text:
            await say(pilot, app, text, wait=ends)
        if not ends:
            await until(pilot, lambda: app.screen is not app.chat)
        await pilot.press(*keys)
        await pilot.pause(0.1)

    return act


@BOTH
def test_empty_while_loading(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn(loads=HALFWAY, starter=True))
    assert snap_compare(app, terminal_size=size, run_before=after(app))


@BOTH
def test_casual_turn(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([CASUAL])], turns=EARLIER))
    assert snap_compare(app, terminal_size=size, run_before=after(app, "Thank you!"))


@BOTH
def test_flagged_and_nudged(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([FLAGGED], ADVICE)], turns=EARLIER))
    assert snap_compare(app, terminal_size=size, run_before=after(app, SECRET))


@BOTH
def test_what_was_sent(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([FLAGGED], ADVICE, skipped=2)], turns=EARLIER))
    assert snap_compare(app, terminal_size=size, run_before=after(app, SECRET, "f4"))


@BOTH
def test_held(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([NONE])], turns=EARLIER))
    assert snap_compare(app, terminal_size=size, run_before=after(app, "Hello", ends=False))


@BOTH
def test_confirm(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn([Script([CAUTION])], policy=shipped()["strict"], turns=EARLIER))
    assert snap_compare(app, terminal_size=size, run_before=after(app, SECRET, ends=False))


@BOTH
def test_blocked_with_help(snap_compare: Snap, size: tuple[int, int]) -> None:
    session = StandIn([Script([URGENT])], policy=shipped()["strict"])
    app = app_with(session, help_lines=lambda: HELP)
    assert snap_compare(app, terminal_size=size, run_before=after(app, "I can't go on."))


@BOTH
def test_help(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn())
    assert snap_compare(app, terminal_size=size, run_before=after(app, "", "f1"))


@BOTH
def test_guard_off(snap_compare: Snap, size: tuple[int, int]) -> None:
    app = app_with(StandIn(turns=EARLIER, guard_off=True))
    assert snap_compare(app, terminal_size=size, run_before=after(app, "Hello"))


@BOTH
def test_an_error(snap_compare: Snap, size: tuple[int, int]) -> None:
    error = EngineDied(
        "The process of the chat model was killed (signal 9), perhaps for want of memory.",
        "It starts again with your next message. A smaller model needs less.",
    )
    app = app_with(StandIn([Script(error=error)], turns=EARLIER))
    assert snap_compare(app, terminal_size=size, run_before=after(app, "Hello"))


def test_the_panel_opened_in_a_narrow_terminal(snap_compare: Snap) -> None:
    app = app_with(StandIn([Script([FLAGGED], ADVICE)], turns=EARLIER))
    assert snap_compare(app, terminal_size=SMALL, run_before=after(app, SECRET, "f3"))


def test_the_light_theme(snap_compare: Snap) -> None:
    app = app_with(StandIn([Script([FLAGGED], ADVICE)], turns=EARLIER))
    app.theme = "oa-light"
    assert snap_compare(app, terminal_size=LARGE, run_before=after(app, SECRET))


def test_a_tiny_terminal(snap_compare: Snap) -> None:
    app = app_with(StandIn([Script([FLAGGED], ADVICE)], starter=True))
    assert snap_compare(app, terminal_size=TINY, run_before=after(app, SECRET))


def test_a_tiny_terminal_with_a_question(snap_compare: Snap) -> None:
    app = app_with(StandIn([Script([NONE])]))
    assert snap_compare(app, terminal_size=TINY, run_before=after(app, "Hello", ends=False))


def test_old_turns(snap_compare: Snap) -> None:
    turns = [finished(n, f"Message {n}", f"Reply **{n}**", FLAGGED) for n in range(1, 41)]
    app = app_with(StandIn(turns=turns))

    async def to_the_top(pilot: Pilot[None]) -> None:
        await after(app)(pilot)
        while app.chat.transcript.scroll_y > 0:
            await pilot.press("pageup")

    assert snap_compare(app, terminal_size=SMALL, run_before=to_the_top)
