"""The screen of the chat: lays out the widgets and routes their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from oa_chat.conversation import Turn
from oa_chat.errors import OaChatError
from oa_chat.events import Sending
from oa_chat.printable import printable
from oa_chat.ui.commands import copy_reply
from oa_chat.ui.composer import Composer
from oa_chat.ui.delivery import Delivery
from oa_chat.ui.draft import Draft
from oa_chat.ui.guard_panel import GuardLine, GuardPanel
from oa_chat.ui.guard_text import Report, report_of
from oa_chat.ui.header import Header, HeaderState
from oa_chat.ui.model_loading import idle_report, load_models
from oa_chat.ui.status import Status, StatusState
from oa_chat.ui.texts import one_line
from oa_chat.ui.transcript import Transcript
from oa_chat.ui.turn_view import TurnView
from oa_chat.ui.welcome import Welcome

if TYPE_CHECKING:
    from oa_chat.corrections import Correction
    from oa_chat.session import ChatSession

WIDE = 100
"""Columns from which on the guard panel stands beside the conversation."""
BOTH = 72
"""Columns from which on an opened panel leaves room for the conversation."""


class ChatScreen(Screen[None]):
    """Transcript, composer, guard panel, header and status line."""

    AUTO_FOCUS = "#editor"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", priority=True),
        # The starter model tells people to press F2 for a bigger one: help says how to get one.
        Binding("f2", "help", show=False, priority=True),
        Binding("f3", "toggle_panel", "Panel", priority=True),
        Binding("f4,ctrl+o", "toggle_sent", "What was sent", priority=True),
        Binding("f6", "feedback", "Flag is wrong", show=False, priority=True),
        Binding("f5", "unfold", "Withdrawn", priority=True),
        Binding("ctrl+n", "new_conversation", "New", priority=True),
        Binding("ctrl+y", "copy_reply", "Copy", priority=True),
        Binding("escape", "stop", "Stop"),
        Binding("ctrl+up", "look(-1)", show=False),
        Binding("ctrl+down", "look(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]

    def __init__(
        self,
        session: ChatSession,
        notices: Sequence[str],
        help_lines: Callable[[], Sequence[str]],
        typed_history: Sequence[str],
    ) -> None:
        super().__init__()
        self.session = session
        self.help_lines = help_lines
        self.header = HeaderState()
        self.status = StatusState()
        self._notices = notices
        self._typed_history = typed_history
        self._panel_wanted: bool | None = None
        self.idle = asyncio.Event()
        """Set while no message is on its way."""
        self.idle.set()
        self.asking = False
        """A question about the message is open: Esc answers it."""
        self.corrections: dict[int, Correction] = {}
        """What the user said about flags of this conversation, by the turn's id."""
        self._looked_at = -1
        self._last_sending: Sending | None = None
        self._status_timer: Timer | None = None

    # ------------------------------------------------------------ layout

    def compose(self) -> ComposeResult:
        """Everything that is always there."""
        self._read_session()
        yield Header(self.header, id="header")
        with Horizontal(id="body"):
            with Vertical(id="conversation"):
                yield Transcript(id="transcript")
                yield GuardLine("", id="guard-line", markup=False)
                typed = self._typed_history or [
                    turn.user for turn in self.session.conversation.turns
                ]
                yield Composer(typed, id="composer")
            yield GuardPanel(id="panel")
        yield Status(self.status, id="status")

    async def on_mount(self) -> None:
        """Show the conversation; load the models behind the first paint."""
        self._arrange()
        await self._show_conversation()
        self.call_after_refresh(self._start_loading)

    @property
    def composer(self) -> Composer:
        """Where the user writes."""
        return self.query_one(Composer)

    @property
    def transcript(self) -> Transcript:
        """What was said."""
        return self.query_one(Transcript)

    @property
    def running(self) -> bool:
        """Whether a message is on its way."""
        return not self.idle.is_set()

    def on_resize(self, event: Resize) -> None:
        """Fold or unfold the panel with the width."""
        self._arrange()

    def _arrange(self) -> None:
        width, height = self.app.size
        wanted = self._panel_wanted
        opened = width >= WIDE if wanted is None else wanted
        self.set_class(opened, "panel-open")
        self.set_class(opened and width < BOTH, "panel-only")
        self.set_class(width >= 130, "roomy")
        self.set_class(height < 16 or width < 50, "small")

    # ------------------------------------------------------------ state

    def _read_session(self) -> None:
        session = self.session
        self.header.chat_name = session.chat_name
        self.header.guard_name = session.guard_name
        self.header.policy = session.policy.name
        self.header.guard_off = session.guard_off
        self.header.starter = session.starter

    def refresh_state(self) -> None:
        """Draw header, status and welcome from the state."""
        self._read_session()
        self.status.running = self.running and not self.asking
        self.query_one(Header).refresh_line()
        self.query_one(Status).refresh_line()
        for shown in self.query(Welcome):
            shown.refresh_welcome()

    def refresh_status_soon(self) -> None:
        """Draw the status line a few times a second, however fast tokens come."""
        if self._status_timer is None:
            self._status_timer = self.set_timer(0.2, self._refresh_status)

    def _refresh_status(self) -> None:
        self._status_timer = None
        self.query_one(Status).refresh_line()

    def show_report(self, report: Report) -> None:
        """Show what is known about a message, in the panel and on the line."""
        verdicts = [turn.verdict for turn in self.session.conversation.turns]
        if not report.title:
            self._looked_at, self._last_sending = len(verdicts) - 1, report.sending
        turn = self.looked_at
        said = self.corrections.get(turn.id) if turn else None
        report = replace(report, said=said.severity if said else None)
        self.query_one(GuardPanel).show(report, verdicts)
        self.query_one(GuardLine).show(report)

    @property
    def looked_at(self) -> Turn | None:
        """The turn that the panel shows."""
        turns = self.session.conversation.turns
        return turns[self._looked_at] if 0 <= self._looked_at < len(turns) else None

    def look_again(self) -> None:
        """Draw the panel anew for the turn that it shows."""
        self._look_at(self._looked_at)

    async def _show_conversation(self) -> None:
        try:
            self.corrections = self.session.corrections()
        except OaChatError as error:
            self.show_error(error)
        above: list[Static] = [
            Static(Content(printable(notice)), classes="notice") for notice in self._notices
        ]
        turns = self.session.conversation.turns
        if not turns:
            above = [Welcome(self.header, say_starter=not above), *above]
        await self.transcript.show(turns, above)
        self.show_report(idle_report(self))
        self.refresh_state()

    # ------------------------------------------------------------ loading

    def _start_loading(self) -> None:
        self.run_worker(load_models(self), group="load", exit_on_error=False)

    # ------------------------------------------------------------ a message

    def on_composer_submitted(self, message: Composer.Submitted) -> None:
        """Send a message, unless one is still on its way."""
        if self.running:
            self.composer.put_in_front(message.draft)
            self.notify("A reply is still coming; your text stays here. Esc stops the reply.")
            return
        self.composer.remember(message.draft.text)
        self.idle.clear()
        self.run_worker(
            self._deliver(message.draft), group="chat", exclusive=True, exit_on_error=False
        )

    async def _deliver(self, draft: Draft) -> None:
        try:
            await Delivery(self, draft).run()
        finally:
            self.idle.set()
            if self.is_attached:
                self.refresh_state()

    async def begin(self, view: TurnView) -> None:
        """Show a new message."""
        await self.query(Welcome).remove()
        await self.transcript.begin(view)
        self.refresh_state()

    async def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """The handler of last resort: an error in a worker is shown, and the chat goes on."""
        if event.state is WorkerState.ERROR and self.is_attached:
            error = event.worker.error
            self.log(repr(error))
            message = error.message if isinstance(error, OaChatError) else type(error).__name__
            words = f"✗ Something broke: {one_line(message, 400)}. The conversation is kept."
            await self.transcript.add_notice(words, "notice failed")

    def on_composer_page(self, message: Composer.Page) -> None:
        """Scroll while one writes."""
        self.transcript.page(message.step)

    def on_turn_view_chosen(self, message: TurnView.Chosen) -> None:
        """Show the verdict of an earlier turn."""
        ids = [turn.id for turn in self.session.conversation.turns]
        if message.turn.id in ids:
            self._look_at(ids.index(message.turn.id))
        self.composer.focus_editor()

    def _look_at(self, place: int) -> None:
        turns = self.session.conversation.turns
        if self.running or not 0 <= place < len(turns):
            return
        self._looked_at = place
        turn = turns[place]
        newest = place == len(turns) - 1
        sending = self._last_sending if newest else None
        title = "" if newest else f"turn {place + 1:,} of {len(turns):,}"
        self.show_report(report_of(turn, sending, title))

    # ------------------------------------------------------------ actions

    def action_look(self, step: int) -> None:
        """Show the verdict of an earlier or later turn."""
        newest = len(self.session.conversation.turns) - 1
        self._look_at(min(self._looked_at, newest) + step)

    def action_page(self, step: int) -> None:
        """Scroll what was said."""
        self.transcript.page(step)

    def action_stop(self) -> None:
        """Stop the reply; or come back to the composer."""
        if self.running:
            self.session.stop()
        self.composer.focus_editor()

    def action_unfold(self) -> None:
        """Show the newest withdrawn replies, or fold them again."""
        self.transcript.unfold_withdrawn()

    def action_feedback(self) -> None:
        """Say that a flag is wrong."""
        from oa_chat.ui.feedback import give_feedback  # built when it is opened

        give_feedback(self)

    def action_help(self) -> None:
        """Open the help."""
        from oa_chat.ui.help import Help  # built when it is opened

        self.app.push_screen(Help())

    def action_toggle_panel(self) -> None:
        """Open the panel, or fold it into a line."""
        self._panel_wanted = not self.has_class("panel-open")
        self._arrange()

    def action_toggle_sent(self) -> None:
        """Fold or unfold what was sent; opens the panel if need be."""
        if not self.has_class("panel-open"):
            self.action_toggle_panel()
        self.query_one(GuardPanel).toggle_sent()

    def action_copy_reply(self) -> None:
        """Copy the last reply through the terminal (OSC 52)."""
        copy_reply(self)

    async def action_new_conversation(self) -> None:
        """Begin a new conversation. What is being written stays."""
        if self.running:
            self.notify("A reply is still coming. Esc stops it; then begin anew.")
            return
        try:
            self.session.new_conversation()
        except OaChatError as error:
            self.show_error(error)
            return
        self.status.used = 0
        self.status.tokens_per_second = 0.0
        self._notices = ()
        await self._show_conversation()
        self.composer.focus_editor()

    def show_error(self, error: OaChatError) -> None:
        """Show an error that belongs to no message."""
        text = "\n".join(filter(None, (printable(error.message), printable(error.hint))))
        self.notify(text, severity="error", markup=False)
