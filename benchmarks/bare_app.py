"""The peer of the first paint: a bare Textual app with the same kinds of widgets, and no more."""

from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static, TextArea


class BareApp(App[None]):
    CSS = "#panel { width: 40; } TextArea { height: 3; }"

    def compose(self) -> ComposeResult:
        yield Static("bare")
        with Horizontal():
            with Vertical():
                with VerticalScroll():
                    yield Static("A private chat")
                yield TextArea(placeholder="Write a message")
            with Vertical(id="panel"):
                yield Static("guard")
                yield Static("what was sent")
        yield Static("F1 help")


if __name__ == "__main__":
    BareApp().run()
