"""Writing a message: nothing typed is lost, and long texts do not freeze the screen."""

from __future__ import annotations

import asyncio
import time

from textual.events import Key, Paste
from textual.widgets import Static

from oa_chat.ui.app import OaChatApp
from oa_chat.ui.draft import is_long, with_line_feeds
from tests.ui.driving import SIZE, app_with, plain, say, started, until
from tests.ui.stand_in import Script, StandIn

MEGABYTE = 1_048_576
QUADRATIC = 15
"""Seconds. Drawing a megabyte at quadratic cost takes twice as long; a slow machine does not."""


def burst(app: OaChatApp, *events: str | Paste) -> None:
    """Keys and pastes faster than any widget can follow."""
    for event in events:
        if isinstance(event, Paste):
            app.post_message(event)
        else:
            app.post_message(Key(event, event if len(event) == 1 else None))


async def test_enter_sends_and_ctrl_j_breaks_the_line() -> None:
    session = StandIn()
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("a", "ctrl+j", "b", "enter")
        await until(pilot, lambda: session.sent and not app.chat.running)
        assert session.sent == ["a\nb"]
        assert app.chat.composer.is_empty


async def test_an_empty_message_is_not_sent() -> None:
    session = StandIn()
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("space", "enter")
        await pilot.pause()
        assert not session.sent


async def test_up_recalls_and_down_brings_the_draft_back() -> None:
    app = app_with(StandIn(), typed_history=["long ago", "one\ntwo"])
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        composer = app.chat.composer
        await say(pilot, app, "just now")
        await pilot.press("d", "r", "a", "f", "t", "up")
        assert composer.text == "just now"
        await pilot.press("up")
        assert composer.text == "one\ntwo"
        await pilot.press("up")  # to its first line
        await pilot.press("up")
        assert composer.text == "long ago"
        await pilot.press("down", "down", "down", "down", "down")
        await until(pilot, lambda: composer.text == "draft")


async def test_a_changed_recalled_message_is_kept_as_the_draft() -> None:
    app = app_with(StandIn(), typed_history=["first", "second"])
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await pilot.press("up", "!", "up")
        assert app.chat.composer.text == "first"
        await pilot.press("down", "down")
        await until(pilot, lambda: app.chat.composer.text == "second!")


async def test_the_editor_grows_and_stops_growing() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        editor = app.chat.composer.editor
        assert editor.outer_size.height == 3
        editor.insert("\n".join("line" for _ in range(5)))
        await until(pilot, lambda: editor.outer_size.height == 7)
        editor.insert("\n".join("line" for _ in range(50)))
        await until(pilot, lambda: editor.outer_size.height == 10)


async def test_a_megabyte_pasted_becomes_a_chip_and_is_sent_whole() -> None:
    session = StandIn()
    app = app_with(session)
    text = ("All work and no play. " * (MEGABYTE // 22 + 1))[:MEGABYTE]
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        editor = app.chat.composer.editor
        began = time.perf_counter()
        app.post_message(Paste(text))
        await until(pilot, lambda: app.chat.composer.text, 60)
        await pilot.press("x")
        await until(pilot, lambda: editor.text == "x")
        assert time.perf_counter() - began < QUADRATIC
        chip = app.chat.query_one("#chip", Static)
        assert chip.display
        assert "pasted 1,048,576 characters" in plain(chip)
        await pilot.press("backspace")
        began = time.perf_counter()
        await pilot.press("enter")
        await until(pilot, lambda: session.sent and not app.chat.running, 60)
        assert time.perf_counter() - began < QUADRATIC
        assert session.sent == [text]
        assert not chip.display
        await pilot.press("up")
        await until(pilot, lambda: app.chat.composer.text == text)


async def test_a_short_paste_is_shown_as_it_is() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        app.post_message(Paste("two\nlines"))
        await until(pilot, lambda: app.chat.composer.editor.text == "two\nlines")


async def test_typed_and_pasted_text_go_together_and_the_chip_can_go() -> None:
    app = app_with(StandIn())
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        composer = app.chat.composer
        app.post_message(Paste("p" * 9000))
        await until(pilot, lambda: len(composer.text) == 9000)
        await pilot.press("a")
        assert composer.text == "a\n\n" + "p" * 9000
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: composer.is_empty)
        await pilot.press("up")
        await until(pilot, lambda: composer.text == "p" * 9000)


async def test_what_is_typed_while_a_reply_runs_stays() -> None:
    session = StandIn([Script(gate=asyncio.Event())])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "first", wait=False)
        await pilot.press("n", "e", "x", "t", "enter")
        await pilot.pause()
        assert app.chat.composer.text == "next"
        assert session.sent == ["first"]
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.running)
        assert app.focused is app.chat.composer.editor
        await pilot.press("enter")
        await until(pilot, lambda: len(session.sent) == 2)


async def test_keys_behind_enter_do_not_go_with_the_message() -> None:
    session = StandIn()
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        burst(app, "h", "i", "enter", *"there")
        await until(pilot, lambda: session.sent and not app.chat.running)
        await until(pilot, lambda: app.chat.composer.text == "there")
        assert session.sent == ["hi"]


async def test_enter_twice_in_a_burst_keeps_the_second_message() -> None:
    session = StandIn([Script(gate=asyncio.Event())])
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        burst(app, *"one", "enter", *"two", "enter", *"three")
        await until(pilot, lambda: app.chat.composer.text == "two\nthree")
        assert session.sent == ["one"]
        await pilot.press("!")
        assert app.chat.composer.text == "two\nthree!"
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.running)
        await pilot.press("enter")
        await until(pilot, lambda: session.sent == ["one", "two\nthree!"])


async def test_a_paste_in_a_burst_goes_with_its_own_message() -> None:
    session = StandIn([Script(gate=asyncio.Event())])
    app = app_with(session)
    first, second = "p" * 9000, "q" * 9000
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        burst(app, "a", Paste(first), "enter", "b", Paste(second), "enter", "c")
        await until(pilot, lambda: app.chat.composer.text == "b\nc\n\n" + second)
        assert session.sent == ["a\n\n" + first]
        assert "9,000" in plain(app.chat.query_one("#chip", Static))


async def test_editing_keys_act_in_the_order_in_which_they_are_pressed() -> None:
    session = StandIn([Script(gate=asyncio.Event())])
    app = app_with(session, typed_history=["earlier"])
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        burst(app, *"ax", "backspace", "ctrl+j", "b", "left", "c", "enter", "up", "up", "!")
        await until(pilot, lambda: app.chat.composer.text == "earlier!")
        assert session.sent == ["a\ncb"]


def test_pasted_carriage_returns_are_line_ends() -> None:
    text = with_line_feeds("one\rtwo\r\nthree\n" + "x\r" * 300)
    assert text.startswith("one\ntwo\nthree\n")
    assert "\r" not in text
    assert is_long(text)
