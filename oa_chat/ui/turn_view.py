"""One turn on the screen: the message, its flag, the reply and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from oa_chat.conversation import Turn, WithdrawnReply
from oa_chat.errors import OaChatError
from oa_chat.policy import Action
from oa_chat.printable import printable
from oa_chat.ui.texts import REPLY, excerpt
from oa_chat.ui.withdrawn import WithdrawnView
from oa_chat.ui.wording import (
    ending,
    flag_line,
    outcome,
    unjudged_line,
    withdrawn_line,
    worth_a_line,
)
from oa_chat.ui.working import Working
from oa_chat.verdict import Verdict

if TYPE_CHECKING:
    from oa_chat.ui.reply import ReplyStream


class TurnView(Vertical):
    """A turn whose reply is live Markdown: for the newest turns only."""

    class Chosen(Message):
        """The user wants to see what the guard said about this turn."""

        def __init__(self, turn: Turn) -> None:
            super().__init__()
            self.turn = turn

    def __init__(self, turn: Turn, *, on_its_way: bool = False) -> None:
        super().__init__()
        self.turn = turn
        self._on_its_way = on_its_way
        self._stream: ReplyStream | None = None

    def compose(self) -> ComposeResult:
        """What a stored turn has; a new one has the message only."""
        yield Static(Content(excerpt(self.turn.user)), classes="message")
        yield from _flag_notes(self.turn)
        yield from map(WithdrawnView, self.turn.withdrawn)
        if self.turn.reply:
            from oa_chat.ui.reply import Reply

            yield Reply(self.turn.reply)
        if not self._on_its_way:
            yield from _end_notes(self.turn)

    def on_click(self) -> None:
        """Clicking on a turn shows its verdict."""
        self.post_message(self.Chosen(self.turn))

    async def wait(self, words: Callable[[], str]) -> None:
        """Show that something is being waited for."""
        await self.mount(Working(words))

    def tick(self) -> None:
        """Say at once what is being waited for now."""
        for working in self.query(Working):
            working.tick()

    async def judged(self, verdict: Verdict, done: str, action: Action | None = None) -> None:
        """Show a flag. A casual message that simply goes is without: the panel has it."""
        await self.query(".judged").remove()
        if worth_a_line(verdict, action):
            line = Static(flag_line(verdict, done), classes="flag judged")
            await self.mount(line, after=self._head())

    async def show_help(self, lines: Sequence[str]) -> None:
        """Show where a person can get help, below the message and in nobody's way."""
        if lines and not self.query(".help"):
            text = "\n".join(printable(line) for line in lines)
            await self.mount(Static(Content(text), classes="help"), after=self._head())

    def _head(self) -> Static:
        """The message, or its flag: what notes go below."""
        return self.query(".message, .judged").last(Static)

    async def note(self, text: str) -> None:
        """Add a note between message and reply."""
        await self.mount(Static(Content(text), classes="note"), after=self._head())

    async def write(self, piece: str) -> None:
        """Append to the reply."""
        if self._stream is None:
            from oa_chat.ui.reply import Reply, ReplyStream

            reply = Reply()
            with self.app.batch_update():
                await self.query(Working).remove()
                await self.mount(reply)
            self._stream = ReplyStream(reply)
        self._stream.write(piece)

    async def hold(self, words: Callable[[], str]) -> None:
        """Show quietly that there is text which the guard reads first."""
        if not self.query(Working):
            await self.wait(words)

    async def withdraw(self, withdrawn: WithdrawnReply) -> None:
        """Fold what was shown of the reply into a line."""
        await self.quiet()
        with self.app.batch_update():
            await self.query("Reply").remove()
            await self.mount(WithdrawnView(withdrawn))

    async def end(self, turn: Turn, error: OaChatError | None = None, advice: str = "") -> None:
        """Show how the turn ended."""
        self.turn = turn
        await self.quiet()
        flags = self.query(".judged")
        if flags and turn.verdict:
            flags.first(Static).update(flag_line(turn.verdict, outcome(turn)))
        await self.mount_all(_end_notes(turn, error, advice))

    async def quiet(self) -> None:
        """End what moves: the stream and the sign of waiting."""
        await self.query(Working).remove()
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.stop()


def _flag_notes(turn: Turn) -> list[Static]:
    if turn.verdict is None or not worth_a_line(turn.verdict, turn.action):
        return []
    return [Static(flag_line(turn.verdict, outcome(turn)), classes="flag judged")]


def _end_notes(turn: Turn, error: OaChatError | None = None, advice: str = "") -> list[Static]:
    """Notes below the reply: that it was not judged, and an end that was no plain end.

    A flag on a reply that stays is for the panel: most are mild, and some are wrong.
    """
    unjudged = unjudged_line(turn)
    notes = [Static(unjudged, classes="flag")] if unjudged else []
    classes = "ending" if turn.reply else "ending alone"
    if error is not None:
        parts = [(f"✗ {printable(error.message)}", "$error")]
        if hint := "\n".join(filter(None, (printable(error.hint), advice))):
            parts.append((f"\n{hint}", "$quiet"))
        notes.append(Static(Content.assemble(*parts), classes=classes))
        return notes
    words, style = ending(turn)
    if words:
        line = Content.assemble((words, style), (f"\n{advice}" if advice else "", "$quiet"))
        notes.append(Static(line, classes=classes))
    return notes


class OldTurn(Static):
    """A turn further up, as one cheap widget: 150 live Markdown widgets made every key slow."""

    def __init__(self, turn: Turn) -> None:
        parts: list[tuple[str, str] | Content] = [
            (excerpt(turn.user), "bold $primary"),
        ]
        if turn.verdict and worth_a_line(turn.verdict, turn.action):
            parts += [("\n", ""), flag_line(turn.verdict, outcome(turn))]
        for kept in turn.withdrawn:
            parts += [("\n", ""), withdrawn_line(kept)]
        if turn.reply:
            parts += [("\n\n", ""), (excerpt(turn.reply, REPLY), "$foreground 80%")]
        if unjudged := unjudged_line(turn):
            parts += [("\n", ""), unjudged]
        words, style = ending(turn)
        if words:
            parts += [("\n", ""), (words, style)]
        super().__init__(Content.assemble(*parts), markup=False)
        self.turn = turn

    def on_click(self) -> None:
        """Clicking on a turn shows its verdict."""
        self.post_message(TurnView.Chosen(self.turn))
