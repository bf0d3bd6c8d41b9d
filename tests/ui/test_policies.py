"""Policies on the screen: the user's own in the palette, and what decided in the panel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from oa_chat.phrases import Phrases
from oa_chat.policies.shelf import Shelf, shipped
from oa_chat.policy import Action, CategoryRule, Languages
from oa_chat.ui.commands import choose_policy, commands
from oa_chat.ui.dialogs import Confirm
from oa_chat.ui.guard_panel import GuardPanel
from oa_chat.verdict import Severity
from tests.policies.test_policy_file import LEVELS
from tests.ui.driving import SIZE, app_with, plain, say, shown, started, until
from tests.ui.stand_in import CASUAL, FLAGGED, Script, StandIn

WIDE = (140, 45)
ODD = "[red]odd[@click=app.quit]"
"""No name that the palette offers: it would read it as markup."""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "mine.toml").write_text(LEVELS.replace('"mine"', '"[bold]mine[@click=app.quit]"'))
    (tmp_path / f"{ODD}.toml").write_text(LEVELS)
    (tmp_path / "for the kids.toml").write_text(LEVELS.replace('"nudge"', '"nuge"'))
    return Shelf(tmp_path)


async def test_the_palette_offers_the_users_policies(shelf: Shelf) -> None:
    session = StandIn(policies=shelf)
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        titles = [command.title for command in commands(app.chat)]
        assert [title for title in titles if title.startswith("Policy: ")] == [
            *("Policy: relaxed", "Policy: balanced", "Policy: strict"),
            *("Policy: for the kids", "Policy: mine"),
        ]
        await pilot.press("ctrl+p")
        await pilot.press(*"mine")
        await until(pilot, lambda: "Use the mine policy" in shown(app))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: session.policy.chosen_by == "mine")


async def test_a_policy_of_the_user_is_used_and_named_literally(shelf: Shelf) -> None:
    session = StandIn([Script([FLAGGED])], policies=shelf)
    app = app_with(session)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await started(pilot, app)
        choose_policy(app.chat, "mine")
        await until(pilot, lambda: "The [bold]mine[@click=app.quit] policy" in shown(app))
        helps = {command.title: command.help for command in commands(app.chat)}
        assert "(in use)" in helps["Policy: mine"]
        await say(pilot, app, "how do I get back at them?")
        await until(pilot, lambda: "[bold]mine[@click=app.quit] policy:" in shown(app))


async def test_a_broken_policy_is_told_and_the_old_one_stays(shelf: Shelf) -> None:
    session = StandIn(policies=shelf)
    app = app_with(session)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await started(pilot, app)
        choose_policy(app.chat, "for the kids")
        await until(pilot, lambda: "Invalid enum value" in shown(app))
        assert session.policy.name == "balanced"


async def test_a_denied_phrase_is_shown_though_the_guard_says_casual() -> None:
    policy = replace(shipped()["balanced"], deny=Phrases(("[b]door[/b] code",)))
    session = StandIn([Script([CASUAL])], policy=policy)
    app = app_with(session)
    async with app.run_test(size=WIDE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "what is the [b]door[/b] code?")
        text = shown(app)
        assert "○ casual 94 % · not sent" in text
        assert "“[b]door[/b] code” is not sent." in text
        assert "balanced policy: the phrase" in text
        assert app.chat.composer.text == "what is the [b]door[/b] code?"


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        (Action.PASS, "sent as typed, in a language the guard does not know"),
        (Action.NUDGE, "sent with a guideline"),
    ],
)
async def test_a_language_that_the_guard_does_not_know_is_never_silent(
    unknown: Action, words: str
) -> None:
    policy = replace(shipped()["balanced"], languages=Languages(unknown=unknown))
    foreign = replace(CASUAL, language="de", language_known=False)
    session = StandIn([Script([foreign])], policy=policy)
    app = app_with(session)
    async with app.run_test(size=WIDE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "Wie geht es dir heute Abend?")
        text = shown(app)
        assert f"○ casual 94 % · {words}" in text
        assert "guard does not know its language" in " ".join(text.replace("▌", " ").split())
        assert session.conversation.turns[-1].verdict is foreign
        assert session.policy.actions[Severity.CASUAL] is Action.PASS


async def test_a_question_about_the_language_says_so_and_shows_what_goes_along() -> None:
    languages = Languages(unknown=Action.CONFIRM, rule="Take [b]care[/b].")
    foreign = replace(CASUAL, language="de", language_known=False)
    session = StandIn(
        [Script([foreign])], policy=replace(shipped()["balanced"], languages=languages)
    )
    app = app_with(session)
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "Wie geht es dir heute Abend?", wait=False)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        text = shown(app)
        assert "asks because the guard does not know its language (de)" in text
        assert "Take [b]care[/b]." in text
        await pilot.press("s")
        await until(pilot, lambda: not app.chat.running)
        assert session.conversation.turns[-1].sent == (
            "Wie geht es dir heute Abend?\n\n[Guideline: Take (b)care(/b).]"
        )


async def test_a_rule_of_a_category_and_what_decided_stay_in_the_panel() -> None:
    own = {"hate": CategoryRule(Action.NUDGE, Severity.POSSIBLY, "Take [b]care[/b] of both.")}
    policy = replace(shipped()["balanced"], categories=own)
    judged = replace(FLAGGED, categories=("hate",))
    app = app_with(StandIn([Script([judged]), Script([CASUAL])], policy=policy))

    def panel() -> str:
        blocks = app.chat.query_one(GuardPanel).query("#headline, #rule").results(Static)
        return "\n".join(plain(block) for block in blocks)

    async with app.run_test(size=WIDE) as pilot:
        await started(pilot, app)
        await say(pilot, app, "how do I get back at them?")
        once = panel()
        assert "Rule that was sent along\nTake (b)care(/b) of both." in once
        assert FLAGGED.rule not in once
        assert "balanced policy: probably needs caution, about hate" in once
        await say(pilot, app, "hello")
        assert "Take" not in panel()
        await pilot.press("ctrl+up")
        assert once in panel().replace("turn 1 of 2\n", "")
