"""Where a message is written: Enter sends, Ctrl+J breaks the line, Up recalls earlier messages.

A long paste is not put into the editor, since wrapping a megabyte would freeze the screen; it waits
as a chip above it and is sent after what was typed. Nothing typed is ever thrown away: `put_back`
brings a message back if the composer is empty, and Up finds it otherwise.

Keys may come faster than messages travel between widgets. So the editor holds the whole draft and
does at once what a key asks for: a key typed behind Enter is never part of what Enter sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Click, Key, Paste
from textual.message import Message
from textual.widgets import Static, TextArea

from oa_chat.ui.draft import Draft, History, is_long, with_line_feeds
from oa_chat.ui.texts import printable_columns


class Editor(TextArea):
    """The editor inside the composer. It holds the draft: its text and the long pastes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", show=False),
        Binding("pageup", "scroll_transcript(-1)", "Scroll up", show=False),
        Binding("pagedown", "scroll_transcript(1)", "Scroll down", show=False),
    ]

    @dataclass
    class Send(Message):
        """Enter was pressed. The draft is no longer in the editor."""

        draft: Draft

    class PastesChanged(Message):
        """A long paste came or went."""

    @dataclass
    class Page(Message):
        """A page of the transcript up (-1) or down (1)."""

        step: int

    def __init__(self, history: History, placeholder: str) -> None:
        super().__init__(id="editor", placeholder=placeholder, highlight_cursor_line=False)
        self.cursor_blink = False  # a blinking cursor is an idle timer
        self.earlier = history
        self._pastes: tuple[str, ...] = ()

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: control characters as symbols, columns unchanged."""
        return Text(printable_columns(self.document.get_line(line_index)), end="", no_wrap=True)

    # ------------------------------------------------------------ the draft

    @property
    def draft(self) -> Draft:
        """What is being written."""
        return Draft(self.text, self._pastes)

    @draft.setter
    def draft(self, draft: Draft) -> None:
        self.load_text(draft.typed)
        self.move_cursor(self.document.end)
        self._change_pastes(draft.pastes)

    def put_in_front(self, draft: Draft) -> None:
        """Bring a draft back in front of what was written since. The cursor stays where it is."""
        if not self.text:
            self.draft = draft.before(self.draft)
            return
        row, column = self.cursor_location
        self._change_pastes((*draft.pastes, *self._pastes))
        if draft.typed:
            self.insert(f"{draft.typed}\n", (0, 0))
            self.move_cursor((row + draft.typed.count("\n") + 1, column))

    def _change_pastes(self, pastes: tuple[str, ...]) -> None:
        if pastes != self._pastes:
            self._pastes = pastes
            self.post_message(self.PastesChanged())

    # ------------------------------------------------------------ keys

    # Textual calls the handlers of the base class by itself, unless the default is prevented.

    async def _on_key(self, event: Key) -> None:
        """Do what a key asks for at once, or let it be typed.

        Textual runs the action of a key only when the key has bubbled up to the app, behind keys
        that were typed since; so the editor's own actions are run here.
        """
        if event.key == "enter":
            self._send()
        elif event.key == "backspace" and not self.text and self._pastes:
            self.earlier.remember(self._pastes[-1])  # Up still finds it
            self._change_pastes(self._pastes[:-1])
        elif event.is_printable or not await self._run_own_action(event.key):
            return
        event.stop()
        event.prevent_default()

    async def _run_own_action(self, key: str) -> bool:
        """Run what this key is bound to in the editor. False if that is nothing."""
        for binding in self._bindings.key_to_bindings.get(key, ()):
            if await self.app.run_action(binding.action, self):
                return True
        return False

    def _send(self) -> None:
        draft = self.draft
        if not draft.is_empty:
            self.draft = Draft()
            self.earlier.leave()
            self.post_message(self.Send(draft))

    async def _on_paste(self, event: Paste) -> None:
        text = with_line_feeds(event.text)
        if is_long(text):
            event.stop()
            event.prevent_default()
            self._change_pastes((*self._pastes, text))

    def action_paste(self) -> None:
        """Paste the local clipboard, which may be long as well."""
        if is_long(self.app.clipboard):
            self._change_pastes((*self._pastes, self.app.clipboard))
        else:
            super().action_paste()

    def action_newline(self) -> None:
        """Break the line at the cursor."""
        self.replace("\n", *self.selection, maintain_selection_offset=False)

    def action_cursor_up(self, select: bool = False) -> None:
        """Up; on the first line, an earlier message."""
        if not select and self.get_cursor_up_location()[0] == 0 and self._on_first_row():
            self._recall(-1)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Down; on the last line, a later message."""
        if not select and self._on_last_row():
            self._recall(1)
        else:
            super().action_cursor_down(select)

    def _recall(self, step: int) -> None:
        """Walk through earlier messages; what was being written waits at the end."""
        recalled = self.earlier.recall(step, self.draft)
        if recalled is not None:
            self.draft = recalled

    def action_scroll_transcript(self, step: int) -> None:
        """Scroll what was said while one writes."""
        self.post_message(self.Page(step))

    def _on_first_row(self) -> bool:
        return self.wrapped_document.location_to_offset(self.cursor_location).y == 0

    def _on_last_row(self) -> bool:
        row = self.wrapped_document.location_to_offset(self.cursor_location).y
        return row >= self.wrapped_document.height - 1


class Composer(Vertical):
    """The editor, with long pastes as a chip above it."""

    @dataclass
    class Submitted(Message):
        """A message is to be sent. Whoever cannot send it gives it back with `put_in_front`."""

        draft: Draft

    @dataclass
    class Page(Message):
        """A page of the transcript up (-1) or down (1)."""

        step: int

    def __init__(self, history: Iterable[str] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history = History(history)

    def compose(self) -> ComposeResult:
        """A chip that is hidden while there is no long paste, and the editor."""
        chip = Static("", id="chip", markup=False)
        chip.display = False
        yield chip
        yield Editor(self._history, "Write a message. Enter sends, Ctrl+J starts a new line.")

    @property
    def editor(self) -> Editor:
        """The editor."""
        return self.query_one(Editor)

    @property
    def text(self) -> str:
        """All that is to be sent: what was typed, then what was pasted."""
        return self.editor.draft.text

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written."""
        return self.editor.draft.is_empty

    def focus_editor(self) -> None:
        """Let the user type."""
        self.editor.focus()

    def remember(self, text: str) -> None:
        """Make a text available to Up."""
        self._history.remember(text)

    def put_back(self, draft: Draft) -> bool:
        """Offer a message for editing. False if something else is being written."""
        if not self.is_empty:
            return False
        self.editor.draft = draft
        return True

    def put_in_front(self, draft: Draft) -> None:
        """Give a message back that could not be sent, in front of what was written since."""
        self.editor.put_in_front(draft)

    def on_editor_send(self, message: Editor.Send) -> None:
        """Pass the whole message on."""
        message.stop()
        self.post_message(self.Submitted(message.draft))

    def on_editor_page(self, message: Editor.Page) -> None:
        """Pass scrolling on."""
        message.stop()
        self.post_message(self.Page(message.step))

    def on_editor_pastes_changed(self, message: Editor.PastesChanged) -> None:
        """Show long pastes as a chip."""
        message.stop()
        pastes = self.editor.draft.pastes
        chip = self.query_one("#chip", Static)
        count = sum(map(len, pastes))
        chip.update(f"▤ pasted {count:,} characters · Backspace in the empty line removes it")
        chip.display = bool(pastes)

    def on_click(self, event: Click) -> None:
        """A click anywhere lets one type."""
        self.focus_editor()
