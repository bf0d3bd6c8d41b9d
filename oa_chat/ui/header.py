"""The top line: which model, which guard, on what, under which policy, and whether it is off.

The line is built in versions from rich to poor, and the richest one that fits is shown. What keeps
people safe, "GUARD OFF" and "small talk only", is in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from oa_chat.events import LoadEvent, LoadFailed, Loading, Ready
from oa_chat.ui.texts import one_line

_STARTER = "small talk only"


@dataclass
class HeaderState:
    """What the header shows."""

    chat_name: str = ""
    guard_name: str = ""
    policy: str = ""
    guard_off: bool = False
    starter: bool = False
    loads: dict[str, LoadEvent] = field(default_factory=dict)
    """The newest load event of each part."""

    def follow(self, event: LoadEvent) -> None:
        """Take over what a load event says."""
        self.loads[event.part] = event

    def device(self, part: str = "chat") -> str:
        """The device of a part's model, once it is known."""
        ready = self.loads.get(part)
        return one_line(ready.device, 24) if isinstance(ready, Ready) else ""

    def guard_notes(self) -> str:
        """Where the guards run, if elsewhere than the chat model; how far the second one is."""
        chat = self.device().split(" ")[0]
        devices = [self.device(part) for part in ("guard", "second guard")]
        notes = [device for device in devices if chat and device and device.split()[0] != chat]
        if "second guard" in self.loads and (progress := self.progress("second guard")):
            notes.append(f"second {progress}")
        return "".join(f" · {note}" for note in dict.fromkeys(notes))

    def progress(self, part: str) -> str:
        """How far a part is loaded, in words; empty when it is ready."""
        event = self.loads.get(part)
        if isinstance(event, Ready):
            return ""
        if isinstance(event, LoadFailed):
            return "could not be loaded"
        if isinstance(event, Loading) and event.total > 0:
            return f"loading {min(100, event.done * 100 // event.total)} %"
        return "loading"


Part = tuple[str, str]


def _chat(state: HeaderState, level: int) -> list[Part]:
    name = one_line(state.chat_name or "no model", (60, 40, 28, 20, 12)[min(level, 4)])
    parts: list[Part] = []
    if level < 5 or not state.starter:
        parts.append((name, "bold"))
    if state.starter:
        parts.append((f"{' · ' if parts else ''}{_STARTER}", "$warning"))
    if level == 0 and state.device():
        parts.append((f" · {state.device()}", "$quiet"))
    if (progress := state.progress("chat")) and level < 5:
        parts.append((f" · {progress}", "$accent"))
    return parts


def _guard(state: HeaderState, level: int) -> list[Part]:
    if state.guard_off:
        return [(" GUARD OFF ", "bold reverse $flag-unread")]
    if progress := state.progress("guard"):
        style = "$error" if "not" in progress else "$accent"
        return [("guard ", "$quiet"), (progress, style)]
    if level >= 3 or not state.guard_name:
        return [("guard on", "$quiet")]
    name = one_line(state.guard_name, 32 if level < 2 else 16)
    notes = state.guard_notes() if level == 0 else ""
    return [("" if "guard" in name.lower() else "guard ", "$quiet"), (name, ""), (notes, "$quiet")]


def _line(state: HeaderState, level: int, width: int) -> Content:
    """One version of the line; level 0 is the richest."""
    left: list[Part] = [("oa-chat", "bold $primary"), ("  ", "")] if level < 3 else []
    left += _chat(state, level)
    right = _guard(state, level)
    policy = state.policy if level >= 2 else f"{state.policy} policy"
    right += [("  ", ""), (policy, "$quiet" if level >= 2 else "")]
    start, end = Content.assemble(*left), Content.assemble(*right)
    gap = max(2, width - start.cell_length - end.cell_length)
    return Content.assemble(start, " " * gap, end)


def header_line(state: HeaderState, width: int) -> Content:
    """The richest version of the line that fits."""
    line = Content()
    for level in range(6):
        line = _line(state, level, width)
        if line.cell_length <= width:
            break
    return line


class Header(Static):
    """The top line of the screen."""

    def __init__(self, state: HeaderState, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self.state = state

    def on_mount(self) -> None:
        """Draw once the theme is known."""
        self.refresh_line()

    def on_resize(self, event: Resize) -> None:
        """Choose the version that fits the new width."""
        self.refresh_line()

    def refresh_line(self) -> None:
        """Draw the state."""
        self.update(header_line(self.state, max(10, self.content_size.width)))
