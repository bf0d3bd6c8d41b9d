"""Texts of users, models and guards are data: shown literally, never obeyed."""

from __future__ import annotations

import pytest
from rich.text import Text

from oa_chat.ui.reply import parser
from oa_chat.verdict import Severity
from tests.ui.driving import SIZE, app_with, say, shown, started, until
from tests.ui.stand_in import Script, StandIn, finished, verdict

NASTY = (
    "[bold red]x[/] \x1b]52;c;aGk=\x07 \x1b[2J [@click=app.quit]y[/] \u202eevil [/nope] $primary"
)
SEEN = "[bold red]x[/] ␛]52;c;aGk=␇ ␛[2J [@click=app.quit]y[/]"


async def test_nasty_text_is_shown_literally_everywhere() -> None:
    judged = verdict(Severity.PROBABLY, NASTY)
    session = StandIn([Script([judged], pieces=[NASTY, "\n\n", NASTY])])
    session.chat_name = session.guard_name = NASTY
    app = app_with(session, notices=[NASTY], help_lines=lambda: [NASTY], typed_history=[NASTY])
    async with app.run_test(size=(140, 60)) as pilot:
        await started(pilot, app)
        await say(pilot, app, NASTY)
        await pilot.press("f4")
        await pilot.pause()
        text = shown(app)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert text.count("[bold red]x[/]") >= 5
        assert SEEN in text


async def test_old_turns_show_nasty_text_literally() -> None:
    turns = [finished(number, NASTY, NASTY) for number in range(12)]
    app = app_with(StandIn(turns=turns))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        for _ in range(5):
            await pilot.press("pageup")
        await until(pilot, lambda: SEEN in shown(app))
        assert "\x1b" not in shown(app)


async def test_the_editor_shows_control_characters_and_keeps_them() -> None:
    session = StandIn()
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        app.chat.composer.editor.insert("a\x1b[31mb")
        await pilot.pause()
        assert "a␛[31mb" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: session.sent == ["a\x1b[31mb"])


async def test_html_in_a_reply_is_text() -> None:
    html = "<script>alert(1)</script>\n\n<b>bold</b> &#x202e;evil &#27;[2J"
    app = app_with(StandIn([Script(pieces=[html])]))
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        text = shown(app)
        assert "<script>alert(1)</script>" in text
        assert "<b>bold</b>" in text
        assert "\u202e" not in text
        assert "\x1b" not in text


async def test_links_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_with(StandIn([Script(pieces=["[here](https://example.org/secret)"])]))
    opened: list[str] = []
    monkeypatch.setattr(app, "open_url", lambda url, **more: opened.append(url))
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await started(pilot, app)
        await say(pilot, app, "hello")
        row = next(y for y, line in enumerate(shown(app).splitlines()) if "here" in line)
        await pilot.click(offset=(shown(app).splitlines()[row].index("here"), row))
        await until(pilot, lambda: "https://example.org/secret" in shown(app))
        assert not opened


@pytest.mark.parametrize("text", ["&#x202e;a", "&#x2066;a", "**&#x85;a**"])
def test_entities_cannot_smuggle_controls(text: str) -> None:
    tokens = parser().parse(text)
    drawn = "".join(child.content for token in tokens for child in token.children or ())
    assert not set(drawn) & set("\u202e\u2066\x85")


def test_rich_would_have_obeyed() -> None:
    """Or the texts above would prove nothing."""
    assert Text.from_markup("[bold red]x[/]").plain == "x"
