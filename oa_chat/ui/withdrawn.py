"""A reply that was taken back: one quiet line that a click or F5 unfolds."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from oa_chat.conversation import WithdrawnReply
from oa_chat.ui.texts import REPLY, excerpt, one_line
from oa_chat.ui.wording import withdrawn_line


class WithdrawnView(Vertical, can_focus=False):
    """Title, and below it, when it is unfolded, the text and the rule."""

    def __init__(self, withdrawn: WithdrawnReply) -> None:
        super().__init__()
        self.withdrawn = withdrawn

    def compose(self) -> ComposeResult:
        """Both parts; the second one is hidden at first."""
        yield Static("", classes="withdrawn-title", markup=False)
        yield Static(self._text(), classes="withdrawn-text", markup=False)

    def on_mount(self) -> None:
        """Draw the title once the theme is known."""
        self._draw_title()

    @property
    def unfolded(self) -> bool:
        """Whether the text is shown."""
        return self.has_class("unfolded")

    def toggle(self) -> None:
        """Show the text, or hide it again."""
        self.toggle_class("unfolded")
        self._draw_title()

    def on_click(self, event: Click) -> None:
        """A click unfolds it, and does not choose the turn."""
        event.stop()
        self.toggle()

    def _draw_title(self) -> None:
        sign = "▾" if self.unfolded else "▸"
        keys = "" if self.unfolded else " · F5 shows it"
        line = Content.assemble(
            (f"{sign} ", "$quiet"), withdrawn_line(self.withdrawn), (keys, "$quiet")
        )
        self.query_one(".withdrawn-title", Static).update(line)

    def _text(self) -> Content:
        kept = self.withdrawn
        parts: list[tuple[str, str]] = []
        if kept.text.strip():
            parts.append((excerpt(kept.text.strip(), REPLY), "$foreground 80%"))
        if kept.unshown:
            held = f"{kept.unshown:,} more characters were never shown"
            parts.append(("\n" * bool(parts) + held, "$quiet"))
        if kept.verdicts and (rule := kept.verdicts[-1].rule):
            parts.append((f"\nrule: {one_line(rule)}", "$quiet"))
        return Content.assemble(*parts)
