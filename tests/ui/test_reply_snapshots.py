"""What judged replies look like. After a change that is meant: ``--snapshot-update``, and look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from oa_chat.conversation import StopReason, WithdrawnReply
from oa_chat.verdict import Severity, unreadable
from tests.ui.driving import app_with, say, shown, started, until
from tests.ui.stand_in import CASUAL, FLAGGED, Script, StandIn, verdict

BOTH = pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=["small", "large"])
SECRET = "My friend told everyone my secret. How can I get back at them?"
FLAG = replace(
    verdict(Severity.CAUTION, "It's wrong to humiliate people in public."), subject="reply"
)
PASSED = replace(CASUAL, subject="reply")
DEAD = unreadable("minilm-l6", "The guard's process was killed (signal 9).", subject="reply")
TAKEN = WithdrawnReply(
    "Good idea! Find out what they are ashamed of, and tell everyone. Make sure that they cry.",
    (FLAG,),
    SECRET,
)
ADVICE = ("That sounds like it hurt. ", "Ask them *why* before you decide.")

Snap = Callable[..., bool]


@pytest.fixture(autouse=True)
def nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


def pictured(
    snap_compare: Snap, size: tuple[int, int], script: Script, *keys: str, wait: str = ""
) -> bool:
    """The screen after a message, and some keys; or while it waits and shows some words."""
    app = app_with(StandIn([script]))

    async def act(pilot: Pilot[None]) -> None:
        app.animation_level = "none"
        await started(pilot, app)
        await say(pilot, app, SECRET, wait=not wait)
        if wait:
            await until(pilot, lambda: wait in shown(app))
        await pilot.press(*keys)
        await pilot.pause(0.1)

    return snap_compare(app, terminal_size=size, run_before=act)


@BOTH
def test_both_sides(snap_compare: Snap, size: tuple[int, int]) -> None:
    script = Script([FLAGGED], ADVICE, reply_verdict=FLAG)
    assert pictured(snap_compare, size, script)


@BOTH
def test_withdrawn(snap_compare: Snap, size: tuple[int, int]) -> None:
    script = Script([FLAGGED], ADVICE, withdrawn=[TAKEN], reply_verdict=PASSED)
    assert pictured(snap_compare, size, script)


@BOTH
def test_withdrawn_and_unfolded(snap_compare: Snap, size: tuple[int, int]) -> None:
    script = Script([FLAGGED], ADVICE, withdrawn=[TAKEN], reply_verdict=PASSED)
    assert pictured(snap_compare, size, script, "f5")


@BOTH
def test_flagged_twice(snap_compare: Snap, size: tuple[int, int]) -> None:
    script = Script([FLAGGED], withdrawn=[TAKEN, TAKEN], withheld=StopReason.FLAGGED)
    assert pictured(snap_compare, size, script)


@BOTH
def test_held(snap_compare: Snap, size: tuple[int, int]) -> None:
    script = Script([FLAGGED], ADVICE, held=True, gate=asyncio.Event())
    assert pictured(snap_compare, size, script, wait="the guard is reading the reply")


@BOTH
def test_no_verdict_in_strict(snap_compare: Snap, size: tuple[int, int]) -> None:
    script = Script([FLAGGED], ADVICE, reply_verdict=DEAD, withheld=StopReason.UNJUDGED)
    assert pictured(snap_compare, size, script)


def test_no_verdict_in_balanced(snap_compare: Snap) -> None:
    assert pictured(snap_compare, (80, 24), Script([CASUAL], ADVICE, reply_verdict=DEAD))


def test_one_line_in_a_tiny_terminal(snap_compare: Snap) -> None:
    script = Script([CASUAL], ADVICE, withdrawn=[TAKEN], reply_verdict=PASSED)
    assert pictured(snap_compare, (40, 12), script)
