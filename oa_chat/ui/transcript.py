"""What was said, newest at the bottom, drawn at a cost that does not grow with the history.

The newest turns are live (`TurnView`), some before them cheap (`OldTurn`), and the rest is not on
the screen until one asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from oa_chat.conversation import Turn
from oa_chat.ui.turn_view import OldTurn, TurnView
from oa_chat.ui.withdrawn import WithdrawnView

LIVE_TURNS = 8
"""Turns with live Markdown: 16 messages."""
OLD_TURNS = 12
"""Cheap turns above them, before one asks for more."""
MORE_TURNS = 20


class Earlier(Static):
    """Stands for the turns that are not on the screen."""

    def on_click(self, event: Click) -> None:
        """Show more of them."""
        event.stop()
        transcript = self.parent
        if isinstance(transcript, Transcript):
            transcript.show_more()


class Transcript(VerticalScroll, can_focus=False):
    """The scrolling list of turns."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hidden: list[Turn] = []
        """Turns above the window, oldest first."""

    def on_mount(self) -> None:
        """Stay at the bottom until the user scrolls."""
        self.anchor()

    async def show(self, turns: Sequence[Turn], above: Sequence[Static] = ()) -> None:
        """Show a conversation from its end, below some notices."""
        live, rest = list(turns[-LIVE_TURNS:]), list(turns[:-LIVE_TURNS])
        old, self._hidden = rest[-OLD_TURNS:], rest[:-OLD_TURNS]
        earlier = Earlier("", markup=False, id="earlier")
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all([*above, earlier, *map(OldTurn, old), *map(TurnView, live)])
        self._count_hidden()
        self.anchor()

    async def begin(self, view: TurnView) -> None:
        """Add a new message and go to the bottom."""
        with self.app.batch_update():
            await self._make_room()
            await self.mount(view)
        self.anchor()

    async def add_notice(self, text: str, classes: str = "notice") -> None:
        """Add a notice at the bottom."""
        await self.mount(Static(Content(text), classes=classes))

    async def _make_room(self) -> None:
        """Turn the oldest live turns into cheap ones, and take the oldest cheap ones away."""
        live = list(self.query(TurnView))
        for view in live[: max(0, len(live) - LIVE_TURNS + 1)]:
            await self.mount(OldTurn(view.turn), before=view)
            await view.remove()
        old = list(self.query(OldTurn))
        for cheap in old[: max(0, len(old) - OLD_TURNS)]:
            self._hidden.append(cheap.turn)
            await cheap.remove()
        self._count_hidden()

    def _count_hidden(self) -> None:
        earlier = self.query_one("#earlier", Earlier)
        earlier.display = bool(self._hidden)
        count = len(self._hidden)
        turns = "1 earlier turn" if count == 1 else f"{count:,} earlier turns"
        earlier.update(f"↑ {turns} · click, or PageUp here, to show more")

    def show_more(self) -> None:
        """Show some more earlier turns and keep the place."""
        more, self._hidden = self._hidden[-MORE_TURNS:], self._hidden[:-MORE_TURNS]
        if more:
            self.call_later(self._show_above, more)

    async def _show_above(self, more: Sequence[Turn]) -> None:
        first = self.query(OldTurn).first()
        above = first.virtual_region.y - self.scroll_y
        self.release_anchor()
        await self.mount_all([OldTurn(turn) for turn in more], after="#earlier")
        self._count_hidden()

        def keep_place() -> None:
            self.scroll_to(y=first.virtual_region.y - above, animate=False)

        self.call_after_refresh(self.call_after_refresh, keep_place)  # once they have a height

    def unfold_withdrawn(self) -> None:
        """Unfold the withdrawn replies of the newest turn that has some, or fold them."""
        for turn in reversed(list(self.query(TurnView))):
            if found := list(turn.query(WithdrawnView)):
                unfold = not all(view.unfolded for view in found)
                for view in found:
                    if view.unfolded is not unfold:
                        view.toggle()
                self.call_after_refresh(self.scroll_to_widget, found[0], animate=False)
                return

    def page(self, step: int) -> None:
        """Scroll by a page; a page up at the top shows more."""
        if step < 0 and self.scroll_y <= 0:
            self.show_more()
        elif step < 0:
            self.release_anchor()
            self.scroll_page_up(animate=False)
        else:
            self.scroll_page_down(animate=False)
