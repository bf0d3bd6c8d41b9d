"""A reply as streaming Markdown, and the sign that something is being done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.timer import Timer
from textual.widgets import Markdown, Static

from oa_chat.ui.printable import one_line, printable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

_REDRAW_SECONDS = 0.04
"""Least time between two redraws of a streaming reply: a fast model must not starve the keys."""


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
        self._ending = False
        self._task = asyncio.create_task(self._run())

    def write(self, piece: str) -> None:
        """Add a piece; it appears soon."""
        self._pieces.append(piece)
        self._news.set()

    async def stop(self) -> None:
        """Show what is left and end."""
        self._ending = True
        self._news.set()
        await self._task

    async def _run(self) -> None:
        while not self._ending or self._pieces:
            await self._news.wait()
            self._news.clear()
            if text := "".join(self._pieces):
                self._pieces.clear()
                await self._reply.append(printable(text))
            if not self._ending:
                await asyncio.sleep(_REDRAW_SECONDS)


def animated() -> bool:
    """Whether things may move: ``TEXTUAL_ANIMATIONS=none`` says no."""
    return os.environ.get("TEXTUAL_ANIMATIONS", "") != "none"


class Working(Static):
    """Says what is being waited for. Its timer runs only while it is on the screen."""

    FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__("", markup=False)
        self._words = words
        self._frame = 0
        self._ticking: Timer | None = None

    def on_mount(self) -> None:
        """Begin to move."""
        self.tick()
        self._ticking = self.set_interval(0.1 if animated() else 1.0, self.tick)

    def tick(self) -> None:
        """Draw the next frame."""
        if animated():
            self._frame = (self._frame + 1) % len(self.FRAMES)
        self.update(f"{self.FRAMES[self._frame]} {self._words()}")
