"""Where a message is written: Enter sends, Ctrl+J breaks the line, Up recalls earlier messages.

A long paste is not put into the editor, since wrapping a megabyte would freeze the screen; it waits
as a chip above it and is sent after what was typed. Nothing typed is ever thrown away: `put_back`
brings a message back if the composer is empty, and Up finds it otherwise.
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

from oa_chat.ui.texts import printable_columns

PASTE_CHARACTERS = 8_000
"""A paste longer than this becomes a chip."""
PASTE_LINES = 200
_RECALLED = 500
"""How many earlier messages can be recalled."""


def _is_long(text: str) -> bool:
    return len(text) > PASTE_CHARACTERS or text.count("\n") > PASTE_LINES


class Editor(TextArea):
    """The editor inside the composer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", show=False),
        Binding("pageup", "scroll_transcript(-1)", "Scroll up", show=False),
        Binding("pagedown", "scroll_transcript(1)", "Scroll down", show=False),
    ]

    class Send(Message):
        """Enter was pressed."""

    @dataclass
    class Recall(Message):
        """An earlier (-1) or later (1) message is wanted."""

        step: int

    @dataclass
    class LongPaste(Message):
        """A text was pasted that is too long to show."""

        text: str

    class Dropped(Message):
        """Backspace was pressed in an empty editor."""

    @dataclass
    class Page(Message):
        """A page of the transcript up (-1) or down (1)."""

        step: int

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: control characters as symbols, columns unchanged."""
        return Text(printable_columns(self.document.get_line(line_index)), end="", no_wrap=True)

    # Textual calls the handlers of the base class by itself, unless the default is prevented.

    async def _on_key(self, event: Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Send())
        elif event.key == "backspace" and not self.text:
            self.post_message(self.Dropped())

    async def _on_paste(self, event: Paste) -> None:
        if _is_long(event.text):
            event.stop()
            event.prevent_default()
            self.post_message(self.LongPaste(event.text))

    def action_paste(self) -> None:
        """Paste the local clipboard, which may be long as well."""
        if _is_long(self.app.clipboard):
            self.post_message(self.LongPaste(self.app.clipboard))
        else:
            super().action_paste()

    def action_newline(self) -> None:
        """Break the line at the cursor."""
        self.replace("\n", *self.selection, maintain_selection_offset=False)

    def action_cursor_up(self, select: bool = False) -> None:
        """Up; on the first line, an earlier message."""
        if not select and self.get_cursor_up_location()[0] == 0 and self._on_first_row():
            self.post_message(self.Recall(-1))
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Down; on the last line, a later message."""
        if not select and self._on_last_row():
            self.post_message(self.Recall(1))
        else:
            super().action_cursor_down(select)

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
        """A message is to be sent. The composer keeps it until `clear` is called."""

        text: str

    @dataclass
    class Page(Message):
        """A page of the transcript up (-1) or down (1)."""

        step: int

    def __init__(self, history: Iterable[str] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pastes: list[str] = []
        self._history = list(history)[-_RECALLED:]
        self._place = len(self._history)
        self._draft = ""

    def compose(self) -> ComposeResult:
        """A chip that is hidden while there is no long paste, and the editor."""
        chip = Static("", id="chip", markup=False)
        chip.display = False
        yield chip
        editor = Editor(
            id="editor",
            placeholder="Write a message. Enter sends, Ctrl+J starts a new line.",
            highlight_cursor_line=False,
        )
        editor.cursor_blink = False  # a blinking cursor is an idle timer
        yield editor

    @property
    def editor(self) -> Editor:
        """The editor."""
        return self.query_one(Editor)

    @property
    def text(self) -> str:
        """All that is to be sent: what was typed, then what was pasted."""
        parts = [self.editor.text, *self._pastes]
        return "\n\n".join(part for part in parts if part.strip()) if self._pastes else parts[0]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written."""
        return not self.text.strip()

    def focus_editor(self) -> None:
        """Let the user type."""
        self.editor.focus()

    def clear(self) -> None:
        """Empty the composer; what was in it can be recalled."""
        self.remember(self.text)
        self._show("")

    def remember(self, text: str) -> None:
        """Make a text available to Up."""
        if text.strip() and (not self._history or self._history[-1] != text):
            self._history = [*self._history, text][-_RECALLED:]
        self._place = len(self._history)

    def put_back(self, text: str) -> bool:
        """Offer a text for editing. False if something else is being written."""
        if not self.is_empty:
            return False
        self._show(text)
        return True

    def _show(self, text: str) -> None:
        """Show a text: in the editor, or as a chip if it is long."""
        self._pastes = [text] if _is_long(text) else []
        self.editor.load_text("" if self._pastes else text)
        self.editor.move_cursor(self.editor.document.end)
        self._show_chip()

    def _show_chip(self) -> None:
        chip = self.query_one("#chip", Static)
        count = sum(map(len, self._pastes))
        chip.update(f"▤ pasted {count:,} characters · Backspace in the empty line removes it")
        chip.display = bool(self._pastes)

    def on_editor_send(self, message: Editor.Send) -> None:
        """Pass the whole message on, if there is any."""
        message.stop()
        if not self.is_empty:
            self.post_message(self.Submitted(self.text))

    def on_editor_page(self, message: Editor.Page) -> None:
        """Pass scrolling on."""
        message.stop()
        self.post_message(self.Page(message.step))

    def on_editor_long_paste(self, message: Editor.LongPaste) -> None:
        """Keep a long paste as a chip."""
        message.stop()
        self._pastes.append(message.text)
        self._show_chip()

    def on_editor_dropped(self, message: Editor.Dropped) -> None:
        """Remove the newest chip; Up still finds it."""
        message.stop()
        if self._pastes:
            self.remember(self._pastes.pop())
            self._show_chip()

    def on_click(self, event: Click) -> None:
        """A click anywhere lets one type."""
        self.focus_editor()

    def on_editor_recall(self, message: Editor.Recall) -> None:
        """Walk through earlier messages; what was being written waits at the end."""
        message.stop()
        place = self._place + message.step
        if not 0 <= place <= len(self._history):
            return
        newest = self._place == len(self._history)
        if newest or self.text != self._history[self._place]:
            self._draft = self.text  # also what was changed in a recalled message
        self._place = place
        self._show(self._draft if place == len(self._history) else self._history[place])
