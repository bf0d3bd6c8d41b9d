"""A reply as streaming Markdown. Imported when the first reply is shown: Markdown takes 35 ms."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from textual.widgets import Markdown

from oa_chat.printable import printable
from oa_chat.ui.texts import one_line

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

_LEAST_PAUSE, _MOST_PAUSE = 0.04, 2.0
_PAUSE_SHARE = 1.5
"""A pause after each redraw, in proportion to what the redraw cost: a long reply that a fast model
streams is drawn less often, and keys are never starved."""


def parser() -> MarkdownIt:
    """A parser for text that a model wrote: HTML is text, and entities cannot smuggle controls.

    ``&#x202e;`` passes every filter of the source and becomes an override only when it is parsed,
    so the parsed text is made printable as well.
    """
    from markdown_it import MarkdownIt

    made = MarkdownIt("gfm-like", {"html": False})
    made.core.ruler.push("printable", _make_printable)
    return made


def _make_printable(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            child.content = printable(child.content)


class Reply(Markdown):
    """The text of a reply. Links are shown, never opened."""

    def __init__(self, text: str = "") -> None:
        super().__init__(printable(text), parser_factory=parser, open_links=False)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Say where a link leads. Opening it would tell the world about a private chat."""
        event.stop()
        address = one_line(event.href, 300)
        self.notify(address, title="This link leads to (not opened)", markup=False)


class ReplyStream:
    """Appends pieces to a reply, combined so that the screen keeps up.

    `Markdown.get_stream` combines pieces as well, but redraws as often as the machine can, and its
    `stop` may begin an append while another one runs. This one leaves time between redraws and
    waits for its own end.
    """

    def __init__(self, reply: Markdown) -> None:
        self._reply = reply
        self._pieces: list[str] = []
        self._news = asyncio.Event()
        self._end = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def write(self, piece: str) -> None:
        """Add a piece; it appears soon."""
        self._pieces.append(piece)
        self._news.set()

    async def stop(self) -> None:
        """Show what is left and end."""
        self._end.set()
        self._news.set()
        await self._task

    async def _run(self) -> None:
        while not self._end.is_set() or self._pieces:
            await self._news.wait()
            self._news.clear()
            began = time.perf_counter()
            text = "".join(self._pieces)
            self._pieces.clear()
            if text:
                await self._reply.append(printable(text))
            if not self._end.is_set():
                await self._drawn()
                pause = _PAUSE_SHARE * (time.perf_counter() - began)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(
                        self._end.wait(), min(max(pause, _LEAST_PAUSE), _MOST_PAUSE)
                    )

    async def _drawn(self) -> None:
        """Wait until the screen shows what was appended."""
        drawn = asyncio.Event()
        self._reply.call_after_refresh(drawn.set)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(drawn.wait(), _MOST_PAUSE)
