"""The two themes of the chat, and the colours of the five flags.

A flag is never told by colour alone: `wording` gives each level a symbol and words as well.
"""

from __future__ import annotations

from textual.theme import Theme

DARK_FLAGS = {
    "flag-casual": "#8fc59a",
    "flag-possibly": "#d8cf72",
    "flag-probably": "#e8b15e",
    "flag-caution": "#f08b62",
    "flag-intervention": "#f58bb0",
    "flag-unread": "#b9a3f0",
}
LIGHT_FLAGS = {
    "flag-casual": "#276b3e",
    "flag-possibly": "#665a00",
    "flag-probably": "#8a5000",
    "flag-caution": "#a53a16",
    "flag-intervention": "#9c1652",
    "flag-unread": "#5b3fa8",
}

DARK = Theme(
    name="oa-dark",
    primary="#7fb4e6",
    secondary="#5f86ad",
    accent="#b9a3f0",
    foreground="#dde1e6",
    background="#14171c",
    surface="#1b1f26",
    panel="#232831",
    success="#8fc59a",
    warning="#e8b15e",
    error="#f08b7a",
    dark=True,
    variables={
        **DARK_FLAGS,
        "quiet": "#98a1ad",
        "faint": "#4a525e",
        "border": "#7fb4e6",
        "border-blurred": "#333a45",
        "block-cursor-background": "#7fb4e6",
        "block-cursor-foreground": "#14171c",
        "input-selection-background": "#7fb4e6 35%",
        "footer-key-foreground": "#7fb4e6",
    },
)
LIGHT = Theme(
    name="oa-light",
    primary="#1f5f99",
    secondary="#4b7ba6",
    accent="#5b3fa8",
    foreground="#20242a",
    background="#fafaf8",
    surface="#f0f0ec",
    panel="#e6e6e0",
    success="#276b3e",
    warning="#8a5000",
    error="#a12c20",
    dark=False,
    variables={
        **LIGHT_FLAGS,
        "quiet": "#5a626d",
        "faint": "#b4b9bf",
        "border": "#1f5f99",
        "border-blurred": "#c9ccc8",
        "block-cursor-background": "#1f5f99",
        "block-cursor-foreground": "#ffffff",
        "input-selection-background": "#1f5f99 25%",
        "footer-key-foreground": "#1f5f99",
    },
)

THEMES = (DARK, LIGHT)


def variable_defaults(dark: bool) -> dict[str, str]:
    """The variables that other themes do not know, so that every theme of Textual works."""
    own = DARK if dark else LIGHT
    names = [*DARK_FLAGS, "quiet", "faint"]
    return {name: own.variables[name] for name in names}
