"""From a name on the hub to a checked file in the folder of models: one straight line.

Look up, check the room, download (again and again from where it broke), check, rename. `download`
blocks and belongs into a thread of a screen; `download_async` is that. Both tell how far they are
and can be stopped between two pieces; the shell's Ctrl+C stops them anywhere. What is there then is
kept and gone on with by the next call, whichever way the last one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from oa_chat.downloads.hub import Hub, OtherContent, Remote, TryAgain
from oa_chat.downloads.partial import Partial, Source, opened
from oa_chat.errors import DownloadError, DownloadStopped
from oa_chat.hub_names import HubFile

T = TypeVar("T")
Phase = Literal["asking", "downloading", "waiting", "checking", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is."""

    phase: Phase
    done: int = 0
    """Bytes of all its files that are there (or checked, in that phase)."""
    total: int = 0
    """Bytes; 0 while unknown."""
    note: str = ""
    """What it waits for, in words."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long something is tried again that brings nothing new."""

    tries: int = 5
    wait: float = 0.5
    """Seconds before the second try; doubled each time."""
    longest: float = 120
    """Seconds that a server may ask to wait; more is an error that says so."""


def _unheard(progress: Progress) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Order:
    """How to download: who hears about it, and who can stop it."""

    tell: Callable[[Progress], None] = _unheard
    """Called often, in the thread that downloads."""
    cancel: threading.Event | None = None
    offline: bool = False
    again: bool = False
    """Download what is there already, too."""
    patience: Patience = Patience()

    def say(self, progress: Progress) -> None:
        """Tell, unless it was stopped. Raises DownloadStopped."""
        if self.cancel is not None and self.cancel.is_set():
            raise DownloadStopped("The download was stopped.", "What is there is kept.")
        self.tell(progress)

    def pause(self, seconds: float, progress: Progress) -> None:
        """Wait, but not longer than until it is stopped. Raises DownloadStopped."""
        self.say(progress)
        (self.cancel or threading.Event()).wait(seconds)
        self.say(progress)


def download(file: HubFile, folder: Path, order: Order | None = None) -> Path:
    """Fetch a model, with all its parts, and give the path of its first file.

    Raises DownloadError, DownloadStopped, and UsageError for a part of a model.
    """
    order = order or Order()
    parts = file.parts()
    first = parts[0].below(folder)
    if not order.again and all(part.below(folder).is_file() for part in parts):
        order.say(Progress("done"))
        return first
    order.say(Progress("asking"))
    hub = Hub(offline=order.offline)
    remotes = [_patiently(functools.partial(hub.look_up, part), order) for part in parts]
    total = sum(remote.content.size for remote in remotes)
    done = 0
    for remote, part in zip(remotes, parts, strict=True):
        final = part.below(folder)
        if order.again or not final.is_file():
            _fetch(hub, remote, final, order, _Share(done, total))
        done += remote.content.size
    order.say(Progress("done", total, total))
    return first


async def download_async(file: HubFile, folder: Path, order: Order | None = None) -> Path:
    """`download` in a thread; cancelling the task stops it and waits until it has stopped."""
    order = order or Order()
    cancel = order.cancel or threading.Event()
    order = Order(order.tell, cancel, order.offline, order.again, order.patience)
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(None, functools.partial(download, file, folder, order))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        cancel.set()
        with contextlib.suppress(DownloadError):
            await work
        raise


@dataclass(frozen=True, slots=True)
class _Share:
    """One file's share in the whole."""

    before: int
    total: int

    def at(self, phase: Phase, size: int, note: str = "") -> Progress:
        return Progress(phase, self.before + size, self.total, note)


def _fetch(hub: Hub, remote: Remote, final: Path, order: Order, share: _Share) -> None:
    with opened(final, remote.content) as partial:
        partial.require_room()
        order.say(share.at("downloading", partial.size))
        _fill(hub, remote, partial, order, share)
        partial.check(lambda size: order.say(share.at("checking", size)))
        file = remote.file
        partial.finish(
            Source(repo=file.repo, file=file.file, commit=file.revision, content=remote.content)
        )


def _fill(hub: Hub, remote: Remote, partial: Partial, order: Order, share: _Share) -> None:
    """Download until all bytes are there."""
    furthest = partial.size
    tried = 0
    while partial.size < remote.content.size:
        try:
            for chunk in hub.read(remote, partial.size):
                partial.write(chunk)
                order.say(share.at("downloading", partial.size))
        except (OtherContent, TryAgain) as broken:
            if isinstance(broken, OtherContent):
                partial.start_again()
                broken = TryAgain("the server begins from the start", 0)
            if partial.size > furthest:
                furthest, tried = partial.size, 0
            tried += 1
            _wait(broken, tried, order, share.at("waiting", partial.size))


def _patiently(ask: Callable[[], T], order: Order) -> T:
    tried = 0
    while True:
        try:
            return ask()
        except TryAgain as broken:
            tried += 1
            _wait(broken, tried, order, Progress("waiting"))


def _wait(broken: TryAgain, tried: int, order: Order, progress: Progress) -> None:
    """Wait for the next try. Raises DownloadError if it is of no use."""
    patience = order.patience
    if tried > patience.tries or (broken.wait or 0) > patience.longest:
        asked = f" It asks to wait {broken.wait:.0f} seconds." if broken.wait else ""
        raise DownloadError(
            f"The download did not come to its end: {broken.reason}.",
            f"{asked} Pull it again later: it goes on where it stopped.".strip(),
        ) from broken
    wait = broken.wait if broken.wait is not None else patience.wait * 2 ** (tried - 1)
    order.pause(wait, Progress("waiting", progress.done, progress.total, broken.reason))
