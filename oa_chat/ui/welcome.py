"""What an empty conversation shows: a word of welcome, and how far the models are loaded."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from oa_chat.events import LoadFailed, Loading
from oa_chat.ui.header import HeaderState
from oa_chat.ui.status import meter
from oa_chat.ui.texts import one_line

_STARTER = (
    "This is the built-in starter model. It can do small talk, and no more: do not trust it with "
    "questions. For a real model: oa-chat --model PATH (F1 says more)."
)


def load_line(state: HeaderState, part: str) -> Content:
    """How far one model is loaded."""
    words = "chat model" if part == "chat" else part
    event = state.loads.get(part)
    progress = state.progress(part)
    if not progress:
        return Content.assemble((f"{words:<12}", "$quiet"), ("ready", "$success"))
    parts: list[tuple[str, str]] = [(f"{words:<12}", "$quiet")]
    if isinstance(event, Loading) and event.total > 0:
        parts += [*meter(event.done, event.total, 16), (" ", "")]
    parts.append((progress, "$error" if isinstance(event, LoadFailed) else "$accent"))
    return Content.assemble(*parts)


def welcome(state: HeaderState, *, say_starter: bool = True) -> Content:
    """The whole text."""
    lines = [
        Content.styled("A private chat", "bold $primary"),
        Content("Everything runs on this machine. Nothing you write leaves it."),
    ]
    guard = "The guard is off." if state.guard_off else "A guard reads each message first."
    lines.append(Content(f"{guard} F1 explains what you see."))
    parts = ("chat",) if state.guard_off else ("guard", "chat")
    if any(state.progress(part) for part in parts):
        lines += [Content(), *(load_line(state, part) for part in parts)]
        failed = any(isinstance(state.loads.get(part), LoadFailed) for part in parts)
        if not failed:
            lines.append(Content.styled("You can write, and send, meanwhile.", "$quiet"))
    if state.starter and say_starter:
        lines += [Content(), Content.styled(_STARTER, "$warning")]
    return Content("\n").join(lines)


class Welcome(Static):
    """The welcome at the top of an empty conversation."""

    def __init__(self, state: HeaderState, *, say_starter: bool = True) -> None:
        super().__init__("", markup=False)
        self.state = state
        self._say_starter = say_starter

    def on_mount(self) -> None:
        """Draw once the theme is known."""
        self.refresh_welcome()

    def refresh_welcome(self) -> None:
        """Draw the state."""
        self.update(welcome(self.state, say_starter=self._say_starter))


def failure_words(event: LoadFailed) -> str:
    """A model that could not be loaded, in words."""
    part = "chat model" if event.part == "chat" else event.part
    hint = f" {one_line(event.error.hint, 400)}" if event.error.hint else ""
    return f"The {part} could not be loaded. {one_line(event.error.message, 400)}{hint}"
