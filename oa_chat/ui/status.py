"""The bottom line: the keys on the left, speed and the context meter on the right."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.events import Resize
from textual.style import Style
from textual.widgets import Static

_IDLE_KEYS = (
    ("F1", "help", "help"),
    ("F3", "panel", "toggle_panel"),
    ("^P", "commands", "app.command_palette"),
    ("^N", "new", "new_conversation"),
    ("^Y", "copy", "copy_reply"),
    ("^Q", "quit", "app.quit"),
)
_RUNNING_KEYS = (("Esc", "stop", "stop"), *_IDLE_KEYS)


@dataclass
class StatusState:
    """What the bottom line shows."""

    running: bool = False
    tokens_per_second: float = 0.0
    used: int = 0
    context: int = 0


def meter(used: int, total: int, columns: int) -> list[tuple[str, str]]:
    """A thin bar for a share, as text and style. Heavy and light lines: it works without colour."""
    share = min(1.0, used / total) if total > 0 else 0.0
    filled = min(columns, round(share * columns) or (1 if used else 0))
    style = "$error" if share > 0.9 else "$warning" if share > 0.75 else "$primary"
    return [("━" * filled, style), ("─" * (columns - filled), "$faint")]


def _figures(state: StatusState, level: int) -> Content:
    """Speed and context; level 0 is the richest."""
    parts: list[tuple[str, str]] = []
    if state.tokens_per_second > 0 and level < 3:
        unit = "tokens/s" if level == 0 else "tok/s"
        parts.append((f"{state.tokens_per_second:,.0f} {unit}   ", "$quiet"))
    if state.context > 0:
        if level == 0:
            parts.append(("context ", "$quiet"))
        if level < 3:
            parts += meter(state.used, state.context, 12 if level == 0 else 6)
            parts.append((" ", ""))
        parts.append((f"{state.used:,}/{state.context:,}", "$quiet"))
    return Content.assemble(*parts)


def _keys(state: StatusState, count: int) -> Content:
    parts: list[Content | str] = []
    for key, words, action in (_RUNNING_KEYS if state.running else _IDLE_KEYS)[:count]:
        scope = action if "." in action else f"screen.{action}"
        click = Style.from_meta({"@click": scope})
        bold, usual = ("$warning", "$warning") if action == "stop" else ("$primary", "$quiet")
        label = Content.assemble((key, f"{bold} bold"), (f" {words}", usual))
        parts += [label.stylize(click), "   "]
    return Content.assemble(*parts)


def status_line(state: StatusState, width: int) -> Content:
    """Keys and figures; the keys give way first, then the figures get shorter."""
    for level in range(4):
        figures = _figures(state, level)
        for count in range(len(_RUNNING_KEYS), (4, 3, 2, 0)[level], -1):
            keys = _keys(state, count)
            gap = width - keys.cell_length - figures.cell_length
            if gap >= 0:
                return Content.assemble(keys, " " * gap, figures)
    return _figures(state, 3)


class Status(Static):
    """The bottom line of the screen."""

    def __init__(self, state: StatusState, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self.auto_links = False  # the keys have colours of their own
        self.state = state

    def on_mount(self) -> None:
        """Draw once the theme is known."""
        self.refresh_line()

    def on_resize(self, event: Resize) -> None:
        """Choose the version that fits the new width."""
        self.refresh_line()

    def refresh_line(self) -> None:
        """Draw the state."""
        self.update(status_line(self.state, max(10, self.content_size.width)))
