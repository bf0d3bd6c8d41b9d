"""The cost of a key press does not grow with the history."""

from __future__ import annotations

from oa_chat.ui.reply import Reply
from oa_chat.ui.transcript import LIVE_TURNS, MORE_TURNS, OLD_TURNS
from oa_chat.ui.turn_view import OldTurn, TurnView
from tests.ui.driving import SIZE, app_with, say, shown, started, until
from tests.ui.stand_in import FLAGGED, Script, StandIn, finished

TURNS = [
    finished(number, f"message {number}", f"reply **{number}**\n\n- a\n- b\n\n`code`", FLAGGED)
    for number in range(1, 501)
]


async def test_500_turns_open_with_few_widgets() -> None:
    app = app_with(StandIn(turns=TURNS))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await until(pilot, lambda: "reply 500" in shown(app))
        assert len(app.chat.query(Reply)) == LIVE_TURNS
        assert len(app.chat.query(OldTurn)) == OLD_TURNS
        assert "500 turns" in shown(app)
        assert "480 earlier turns" not in shown(app)


async def test_the_window_slides_with_new_turns() -> None:
    session = StandIn([Script() for _ in range(4)], turns=TURNS)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        for number in range(4):
            await say(pilot, app, f"new {number}")
        assert len(app.chat.query(TurnView)) == LIVE_TURNS
        assert len(app.chat.query(OldTurn)) == OLD_TURNS
        assert "new 3" in shown(app)


async def test_paging_up_at_the_top_shows_more_and_keeps_the_place() -> None:
    app = app_with(StandIn(turns=TURNS))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        transcript = app.chat.transcript
        while transcript.scroll_y > 0:
            await pilot.press("pageup")
        assert "480 earlier turns" in shown(app)
        assert "message 481" in shown(app)
        await pilot.press("pageup")
        await until(pilot, lambda: len(app.chat.query(OldTurn)) == OLD_TURNS + MORE_TURNS)
        await until(pilot, lambda: transcript.scroll_y > 0 and "message 481" in shown(app))
        await pilot.press("pageup")
        assert "message 480" in shown(app)


async def test_scrolling_up_while_a_reply_streams_stays_up() -> None:
    import asyncio

    gate = asyncio.Event()
    pieces = [*(f"line {number}\n\n" for number in range(30)), "the end"]
    app = app_with(StandIn([Script(pieces=pieces, gate=gate)], turns=TURNS))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "go", wait=False)
        await until(pilot, lambda: "line 29" in shown(app))
        await pilot.press("pageup", "pageup")
        place = app.chat.transcript.scroll_y
        gate.set()
        await until(pilot, lambda: not app.chat.running)
        await pilot.pause()
        assert app.chat.transcript.scroll_y == place
        assert "the end" not in shown(app)
        for _ in range(4):
            await pilot.press("pagedown")
        await until(pilot, lambda: "the end" in shown(app))


async def test_a_long_reply_in_many_pieces_is_complete() -> None:
    pieces = [f"word{number} " + ("\n\n" if number % 40 == 39 else "") for number in range(1500)]
    app = app_with(StandIn([Script(pieces=pieces)]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "go")
        assert app.chat.query_one(Reply).source == "".join(pieces)
        assert "word1499" in shown(app)
