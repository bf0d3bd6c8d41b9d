"""The two questions about a message that waits: with a verdict (CONFIRM) and without one (HOLD)."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from oa_chat.events import Answer, Checked
from oa_chat.printable import printable
from oa_chat.ui.texts import RULE, excerpt
from oa_chat.ui.wording import flag_class, flag_words, mark
from oa_chat.wording import certainty_words


class Question(ModalScreen[Answer]):
    """A message waits for the user. Every answer has a key, a button and plain words."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e,escape", "answer('edit')", "Edit"),
        Binding("w", "answer('withdraw')", "Withdraw"),
        Binding("s", "answer('send')", "Send"),
        Binding("up,left", "app.focus_previous", show=False),
        Binding("down,right", "app.focus_next", show=False),
        Binding("pageup", "scroll(-3)", show=False),
        Binding("pagedown", "scroll(3)", show=False),
    ]
    CHOICES: ClassVar[tuple[tuple[Answer, str, str], ...]] = ()
    """Answer, key and words, in the order of the buttons."""

    def __init__(self, checked: Checked) -> None:
        super().__init__()
        self.checked = checked

    def compose(self) -> ComposeResult:
        """The reason, and the answers below it."""
        with VerticalScroll(id="question", can_focus=False) as box:
            box.add_class(flag_class(self.checked.verdict))
            yield Static(self.reason(), id="reason", markup=False)
            with Horizontal(id="answers"):
                for answer, key, words in self.CHOICES:
                    label = Content.assemble((key, "bold underline"), f"  {words}")
                    yield Button(label, id=answer.value, compact=True)

    def reason(self) -> Content:
        """Why the message waits."""
        raise NotImplementedError

    def on_resize(self, event: Resize) -> None:
        """Leave out margins where there is little room."""
        self.set_class(event.size.height < 16, "small")

    def action_scroll(self, lines: int) -> None:
        """Scroll by some lines, in small terminals."""
        self.query_one("#question", VerticalScroll).scroll_relative(y=lines, animate=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer by button."""
        self.dismiss(Answer(event.button.id or Answer.EDIT))

    def action_answer(self, answer: str) -> None:
        """Answer by key."""
        self.dismiss(Answer(answer))


class Confirm(Question):
    """The policy asks first: send with the guideline, edit, or take it back."""

    CHOICES = (
        (Answer.SEND, "S", "Send with guideline"),
        (Answer.EDIT, "E", "Edit"),
        (Answer.WITHDRAW, "W", "Withdraw"),
    )

    def reason(self) -> Content:
        """The flag, the language if the guard does not know it, and the rule."""
        verdict, decision = self.checked.verdict, self.checked.decision
        symbol, style = mark(verdict)
        certainty = certainty_words(verdict)
        parts: list[tuple[str, str]] = [
            ("Before this is sent\n\n", "bold"),
            ("The guard reads this as ", ""),
            (f"{symbol} {flag_words(verdict)}", f"{style} bold"),
            (f" ({certainty})" if certainty else "", "$quiet"),
            (". That is a hint, not a judgement; you decide.", ""),
        ]
        if decision.mark:
            parts.append((f"\n\nThis policy asks because {printable(decision.mark)}.", ""))
        if decision.guideline:
            parts.append(("\n\nRule of thumb that would go along\n", "$quiet"))
            parts.append((excerpt(decision.guideline, RULE), "italic"))
        return Content.assemble(*parts)


class Hold(Question):
    """The guard gave no verdict: try again, send unchecked, or go on without it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "answer('retry')", "Retry"),
        Binding("o", "answer('guard_off')", "Guard off"),
    ]
    CHOICES = (
        (Answer.RETRY, "R", "Try again"),
        (Answer.SEND, "S", "Send unchecked, this once"),
        (Answer.GUARD_OFF, "O", "Guard off here"),
        (Answer.EDIT, "E", "Edit"),
        (Answer.WITHDRAW, "W", "Withdraw"),
    )

    def reason(self) -> Content:
        """Why there is no verdict."""
        verdict = self.checked.verdict
        symbol, style = mark(verdict)
        why = printable(verdict.failure or self.checked.decision.reason or "no reason was given")
        return Content.assemble(
            (f"{symbol} The guard gave no verdict\n\n", f"{style} bold"),
            f"{why}\n\n",
            ("Your message waits and is kept. ", ""),
            ("“Guard off here” sends it and switches the guard off for this conversation; ", ""),
            ("that is shown all the time and can be changed back with Ctrl+P.", ""),
        )
