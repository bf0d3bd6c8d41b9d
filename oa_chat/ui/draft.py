"""What is being written, and the messages that Up brings back. Pure; no widgets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PASTE_CHARACTERS = 8_000
"""A paste longer than this becomes a chip."""
PASTE_LINES = 200
_RECALLED = 500
"""How many earlier messages can be recalled."""


def with_line_feeds(text: str) -> str:
    """The text with plain line ends: terminals paste carriage returns."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_long(text: str) -> bool:
    """Whether a text is too long to be shown in the editor."""
    return len(text) > PASTE_CHARACTERS or text.count("\n") > PASTE_LINES


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as it is being written."""

    typed: str = ""
    pastes: tuple[str, ...] = ()
    """Long pastes, which are sent after what was typed."""

    @classmethod
    def of(cls, text: str) -> Draft:
        """A whole message, for editing."""
        return cls(pastes=(text,)) if is_long(text) else cls(text)

    @property
    def text(self) -> str:
        """All that is to be sent: what was typed, then what was pasted."""
        if not self.pastes:
            return self.typed
        return "\n\n".join(part for part in (self.typed, *self.pastes) if part.strip())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written."""
        return not self.text.strip()

    def before(self, later: Draft) -> Draft:
        """This draft with what was written since behind it, on a line of its own."""
        typed = "\n".join(filter(None, (self.typed, later.typed)))
        return Draft(typed, (*self.pastes, *later.pastes))


class History:
    """Earlier messages; what was being written waits behind the newest one."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = list(texts)[-_RECALLED:]
        self._waiting = Draft()
        self.leave()

    def leave(self) -> None:
        """Stand behind the newest message."""
        self._place = len(self._texts)

    def remember(self, text: str) -> None:
        """Make a text available."""
        if text.strip() and (not self._texts or self._texts[-1] != text):
            self._texts = [*self._texts, text][-_RECALLED:]
        self.leave()

    def recall(self, step: int, current: Draft) -> Draft | None:
        """An earlier (-1) or later (1) message instead of the current one, if there is any."""
        place, newest = self._place + step, len(self._texts)
        if not 0 <= place <= newest:
            return None
        if self._place == newest or current.text != self._texts[self._place]:
            self._waiting = current  # also what was changed in a recalled message
        self._place = place
        return self._waiting if place == newest else Draft.of(self._texts[place])
