"""F6: say which flag would have been right for a message, or take that back.

What is said is kept beside the message and changes no verdict (`oa_chat.corrections`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from oa_chat.conversation import Turn
from oa_chat.errors import OaChatError
from oa_chat.ui.texts import one_line
from oa_chat.ui.wording import flag_words, mark
from oa_chat.verdict import Severity
from oa_chat.wording import SYMBOLS

if TYPE_CHECKING:
    from oa_chat.corrections import Correction
    from oa_chat.ui.chat_screen import ChatScreen

_NOTE = 1000
"""Characters of a note, as `corrections.LONGEST_NOTE`."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the user said."""

    severity: Severity | None
    """None takes back what was said before."""
    note: str = ""


class Feedback(ModalScreen[Said | None]):
    """Which level would have been right. Every level has a number, a button and plain words."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(level + 1), f"say({int(level)})", show=False) for level in Severity),
        Binding("t", "take_back", show=False),
        Binding("n", "note", show=False),
        Binding("escape,f6", "dismiss(None)", "Close"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("pageup", "scroll(-3)", show=False),
        Binding("pagedown", "scroll(3)", show=False),
    ]

    def __init__(self, turn: Turn, before: Correction | None) -> None:
        super().__init__()
        self.turn = turn
        self.before = before
        verdict = turn.verdict
        given = verdict.severity if verdict and verdict.severity is not None else Severity.CASUAL
        self._first = f"#level-{int(before.severity if before else given)}"
        """Where one begins: the level that was said, or that the guard gave."""
        self.AUTO_FOCUS = self._first  # type: ignore[misc]

    def compose(self) -> ComposeResult:
        """The message, the levels, and a line for a note."""
        with VerticalScroll(id="question", can_focus=False):
            yield Static(self.reason(), id="reason", markup=False)
            with Horizontal(id="answers"):
                for level in Severity:
                    yield Button(self._label(level), id=f"level-{int(level)}", compact=True)
                if self.before is not None:
                    words = Content.assemble(("T", "bold underline"), "  Take back what I said")
                    yield Button(words, id="take-back", compact=True)
            note = self.before.note if self.before else ""
            hint = "N: a note, if you like. It stays on this machine."
            yield Input(note, placeholder=hint, id="note", max_length=_NOTE, compact=True)

    def on_resize(self, event: Resize) -> None:
        """Leave out margins where there is little room."""
        self.set_class(event.size.height < 16, "small")

    def reason(self) -> Content:
        """What this is about."""
        symbol, style = mark(self.turn.verdict)
        judged = self.turn.reply_verdict or self.turn.withdrawn
        about = "\nThis is about your message. A reply's flag cannot be noted yet, sorry."
        return Content.assemble(
            ("What would have been right?\n\n", "bold"),
            (f"“{one_line(self.turn.user, 120)}”\n", "italic"),
            ("the guard: ", "$quiet"),
            (f"{symbol} {flag_words(self.turn.verdict)}", style),
            (about if judged else "", "$quiet"),
            ("\nThis is kept with the message and changes no verdict. Esc closes.", "$quiet"),
        )

    def _label(self, level: Severity) -> Content:
        said = "  · you said this" if self.before and self.before.severity is level else ""
        return Content.assemble(
            (str(level + 1), "bold underline"),
            f"  {SYMBOLS[level]} {level.words}",
            (said, "italic"),
        )

    def action_say(self, level: int) -> None:
        """Answer by number."""
        self.dismiss(Said(Severity(level), self.query_one("#note", Input).value))

    def action_take_back(self) -> None:
        """Take back what was said before."""
        if self.before is not None:
            self.dismiss(Said(None))

    def action_note(self) -> None:
        """Write a note."""
        self.query_one("#note", Input).focus()

    def action_scroll(self, lines: int) -> None:
        """Scroll by some lines, in small terminals."""
        self.query_one("#question", VerticalScroll).scroll_relative(y=lines, animate=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer by button."""
        name = event.button.id or ""
        if name == "take-back":
            self.action_take_back()
        else:
            self.action_say(int(name.removeprefix("level-")))

    def on_input_submitted(self) -> None:
        """Enter in the note leads back to the levels."""
        self.query_one(self._first, Button).focus()


def give_feedback(chat: ChatScreen) -> None:
    """Ask what would have been right for the message that the panel shows."""
    turn = chat.looked_at
    if chat.running:
        chat.notify("A reply is still coming. Say it when it is there.")
    elif turn is None:
        chat.notify("There is no message yet. After one, F6 says what its flag should have been.")
    else:
        asked = Feedback(turn, chat.corrections.get(turn.id))
        chat.app.push_screen(asked, partial(_keep, chat, turn))


def _keep(chat: ChatScreen, turn: Turn, said: Said | None) -> None:
    chat.composer.focus_editor()
    if said is None:
        return
    try:
        chat.session.correct(turn.id, said.severity, said.note)
        chat.corrections = chat.session.corrections()
    except OaChatError as error:
        chat.show_error(error)
        return
    chat.look_again()
    if said.severity is None:
        chat.notify("Taken back. Nothing is noted about this message.")
    else:
        chat.notify(
            f"Noted: {said.severity.words}. No verdict changes by that; F6 takes it back."
            " oa-chat feedback export makes training records of it."
        )
