"""The help screen (F1). Built when it is opened."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from oa_chat.policies.shelf import shipped
from oa_chat.policy import Action
from oa_chat.ui.wording import MEANINGS, STYLES, UNCHECKED_STYLE, UNCHECKED_SYMBOL, UNREAD_STYLE
from oa_chat.verdict import Severity
from oa_chat.wording import SYMBOLS, UNREAD_SYMBOL

KEYS = (
    ("Enter", "send the message"),
    ("Ctrl+J", "new line (Shift+Enter too, in some terminals)"),
    ("Up, Down", "earlier and later messages, at the edges of the text"),
    ("Esc", "stop the reply; what came so far is kept"),
    ("PageUp, PageDown", "scroll what was said"),
    ("F1", "this help"),
    ("F3", "guard panel, or one line"),
    ("F4, Ctrl+O", "what was sent to the model"),
    ("F5", "a withdrawn reply: show it, or fold it again"),
    ("F6", "say that a flag is wrong, or that one is missing"),
    ("Ctrl+Up, Down", "the flags of earlier and later turns (or a click)"),
    ("Ctrl+N", "new conversation"),
    ("Ctrl+Y", "copy the last reply"),
    ("Ctrl+P", "all commands: policy, guard, theme and more"),
    ("Ctrl+Q", "quit; everything is saved"),
)
_SHORT_ACTIONS = {
    Action.PASS: "as typed",
    Action.NUDGE: "with guideline",
    Action.CONFIRM: "asks you first",
    Action.BLOCK: "not sent",
    Action.HOLD: "waits",
}


def _title(words: str) -> Content:
    return Content.styled(words, "bold $primary")


def _row(left: str, right: str, style: str = "bold", width: int = 18) -> Content:
    return Content.assemble((f"{left:<{width}}", style), (right, ""))


def keys_text() -> Content:
    """The keys."""
    return Content("\n").join([_title("Keys"), *(_row(key, words) for key, words in KEYS)])


def flags_text() -> Content:
    """What the flags mean."""
    rows = [
        Content.assemble(
            (f"{SYMBOLS[level]} {level.words:<23}", f"{STYLES[level]} bold"), MEANINGS[level]
        )
        for level in Severity
    ]
    rows.append(
        Content.assemble(
            (f"{UNREAD_SYMBOL} {'no verdict':<23}", f"{UNREAD_STYLE} bold"),
            "the guard failed; the message waits for you",
        )
    )
    rows.append(
        Content.assemble(
            (f"{UNCHECKED_SYMBOL} {'not checked':<23}", f"{UNCHECKED_STYLE} bold"),
            "the guard was off",
        )
    )
    return Content("\n").join([_title("Flags"), *rows])


def policies_text() -> Content:
    """What the policies do about each flag."""
    head = "  " + " " * 23 + "".join(f"{name:<15}" for name in shipped())
    rows = [_title("Policies"), Content.styled(head.rstrip(), "$quiet")]
    for level in Severity:
        cells = [_SHORT_ACTIONS[policy.actions[level]] for policy in shipped().values()]
        line = "".join(f"{cell:<15}" for cell in cells).rstrip()
        rows.append(
            Content.assemble((f"{SYMBOLS[level]} ", STYLES[level]), f"{level.words:<23}{line}")
        )
    return Content("\n").join(rows)


def models_text() -> Content:
    """How to get a model that can do more."""
    return Content("\n").join(
        [
            _title("A real model"),
            Content("The built-in starter model does small talk only. To use another one:"),
            Content.styled("  oa-chat --model PATH", "bold"),
            Content("PATH is a GGUF file, as for llama.cpp; old GGML files work as well."),
            Content("What the guard adds goes with your message. F4 shows all of it."),
            Content("All of this runs on this machine. Nothing you write leaves it."),
        ]
    )


class Help(ModalScreen[None]):
    """Keys, flags, policies and models on one page."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,enter", "dismiss", "Close"),
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
    ]

    def compose(self) -> ComposeResult:
        """One block for each topic."""
        with VerticalScroll(id="help", can_focus=False) as box:
            box.border_title = "Help"
            box.border_subtitle = "Esc closes · ↑ ↓ scroll"
            for text in (keys_text(), flags_text(), policies_text(), models_text()):
                yield Static(text, classes="topic", markup=False)

    def action_scroll(self, lines: int) -> None:
        """Scroll by some lines."""
        self.query_one("#help", VerticalScroll).scroll_relative(y=lines, animate=False)
