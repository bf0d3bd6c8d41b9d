"""Everything that is read can be read: contrast of at least 4.5 to 1 (WCAG AA) in both themes."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import Theme

from oa_chat.ui.theme import DARK_FLAGS, THEMES, variable_defaults
from tests.ui.driving import SIZE, app_with, say, shown, started
from tests.ui.stand_in import FLAGGED, Script, StandIn


def luminance(colour: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.normalized
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def ratio(one: Color, other: Color) -> float:
    """Contrast between 1 and 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colours(theme: Theme) -> dict[str, str | None]:
    named = {name: theme.variables[name] for name in (*DARK_FLAGS, "quiet")}
    own = ("primary", "accent", "foreground", "warning", "error", "success")
    return {**named, **{name: getattr(theme, name) for name in own}}


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("ground", ["background", "surface", "panel"])
def test_texts_stand_out(theme: Theme, ground: str) -> None:
    below = Color.parse(getattr(theme, ground))
    for name, colour in colours(theme).items():
        assert colour is not None
        contrast = ratio(Color.parse(colour), below)
        assert contrast >= 4.5, f"{name} on {ground}: {contrast:.2f}"


def test_both_sets_name_the_same_variables() -> None:
    assert variable_defaults(True).keys() == variable_defaults(False).keys()


@pytest.mark.parametrize("name", ["oa-light", "nord", "ansi-dark", "solarized-light"])
async def test_other_themes_work(name: str) -> None:
    app = app_with(StandIn([Script([FLAGGED])]))
    assert name in app.available_themes
    async with app.run_test(size=SIZE) as pilot:
        await started(pilot, app)
        app.theme = name
        await say(pilot, app, "hello")
        assert "◑ probably needs caution" in shown(app)
