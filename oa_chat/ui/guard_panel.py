"""What the guard said, beside the conversation; or on one line where there is no room."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Collapsible, Static

from oa_chat.ui.guard_text import (
    Report,
    bars,
    folded,
    headline,
    judged_by,
    reply_block,
    rule,
    sent_text,
    sent_title,
)
from oa_chat.ui.wording import FLAG_CLASSES, flag_class, strip
from oa_chat.verdict import Verdict


class GuardPanel(VerticalScroll, can_focus=False):
    """Flag, probabilities, rule, what was done, the conversation's flags and what was sent."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._report = Report()
        self._verdicts: Sequence[Verdict | None] = ()

    def compose(self) -> ComposeResult:
        """One block for each thing, so that each is updated on its own."""
        yield Static("", id="headline", markup=False)
        for name in ("bars", "rule", "judged-by", "reply-said", "strip-title", "strip"):
            yield Static("", id=name, markup=False)
        with Collapsible(title="What was sent", id="sent"):
            yield Static("", id="sent-text", markup=False)

    def on_resize(self, event: Resize) -> None:
        """Draw the bars in the new width."""
        self.refresh_report()

    def show(self, report: Report, verdicts: Sequence[Verdict | None]) -> None:
        """Show a report, and the flags of the whole conversation."""
        self._report, self._verdicts = report, verdicts
        self.refresh_report()

    def toggle_sent(self) -> None:
        """Fold or unfold what was sent."""
        sent = self.query_one("#sent", Collapsible)
        sent.collapsed = not sent.collapsed
        if not sent.collapsed:
            # Twice: the panel itself may only be opened by the same key.
            show = partial(self.scroll_to_widget, sent, top=True, animate=False)
            self.call_after_refresh(self.call_after_refresh, show)

    def refresh_report(self) -> None:
        """Draw the report."""
        columns = self.scrollable_content_region.width - 1
        if columns <= 0:
            return
        verdict = self._report.verdict
        head = self.query_one("#headline", Static)
        head.update(headline(self._report))
        head.remove_class(*FLAG_CLASSES).add_class(flag_class(verdict))
        self._put("bars", bars(verdict, columns))
        self._put("rule", rule(self._report))
        self._put("judged-by", judged_by(verdict))
        self._put("reply-said", reply_block(self._report))
        count = len(self._verdicts)
        turns = "1 turn" if count == 1 else f"{count:,} turns"
        self._put("strip-title", Content(f"This conversation · {turns}") if count else Content())
        self._put("strip", strip(list(self._verdicts[-columns:]), columns))
        sent = self.query_one("#sent", Collapsible)
        sent.display = self._report.sending is not None
        sent.query_one("CollapsibleTitle").label = sent_title(  # type: ignore[attr-defined]
            self._report.sending
        )
        self.query_one("#sent-text", Static).update(sent_text(self._report.sending))

    def _put(self, name: str, content: Content) -> None:
        block = self.query_one(f"#{name}", Static)
        block.display = bool(content.plain)
        block.update(content)


class GuardLine(Static):
    """The panel folded into one line."""

    def show(self, report: Report) -> None:
        """Show a report."""
        self.update(folded(report))
