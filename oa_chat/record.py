"""The conversation that a session works on, in memory and on disk at once.

What happens to a turn is written here and nowhere else. It knows no models and no guards.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from oa_chat.conversation import Conversation, Message, StopReason, Turn
from oa_chat.engine.protocol import Done
from oa_chat.errors import OaChatError, StoreError
from oa_chat.inflight import InFlight
from oa_chat.policy import compose_sent
from oa_chat.store import Store

_SAVE_SECONDS = 0.25
"""How often a streaming reply is written to disk."""


class Record:
    """A conversation and its place in the store. Methods may raise StoreError."""

    def __init__(
        self, store: Store, model: str, system_prompt: str, conversation: Conversation | None
    ) -> None:
        """`model` is the name that turns are stored with; None begins a new conversation."""
        self.skipped = 0
        """How many of the oldest turns the model no longer sees."""
        self._store = store
        self._model = model
        self._system_prompt = system_prompt
        self._conversation = conversation

    @property
    def conversation(self) -> Conversation:
        """The current conversation. A new one is in the store from its first message on."""
        if self._conversation is None:
            return Conversation(id=0, title="", system_prompt=self._system_prompt)
        return self._conversation

    def begin_anew(self) -> None:
        """Begin a new conversation."""
        self._conversation = None
        self.skipped = 0

    def switch_guard(self, off: bool) -> None:
        """Note that the guard is off for this conversation, or on again."""
        conversation = self._started()
        self._store.switch_guard(conversation.id, off)
        self._conversation = replace(conversation, guard_off=off)

    def add_turn(self, text: str) -> Turn:
        """Save what was typed. When this returns, it is on disk."""
        conversation = self._started()
        turn = self._store.add_turn(conversation.id, text, self._model)
        self._conversation = replace(conversation, turns=(*conversation.turns, turn))
        return turn

    def transcript(self, sent: str) -> list[Message]:
        """What the model sees: the turns that are not left out, then the new message."""
        system = self.conversation.system_prompt
        earlier = self.conversation.exchanges_sent()[2 * self.skipped :]
        head = [Message("system", system)] if system else []
        return [*head, *earlier, Message("user", sent)]

    def set_sent(self, flight: InFlight) -> list[Message]:
        """Note what goes to the model, right before it does; the transcript with it."""
        sent = compose_sent(flight.turn.user, flight.guideline)
        flight.turn = replace(flight.turn, sent=sent)
        self._store.set_sent(flight.turn.id, sent, flight.turn.action)
        self.update(flight.turn)
        return self.transcript(sent)

    def save_reply(self, flight: InFlight, now: float) -> None:
        """Write what came since the last time; later, if another program holds the file."""
        if now - flight.saved < _SAVE_SECONDS:
            return
        flight.saved = now
        if self._store.append_reply(flight.turn.id, "".join(flight.unsaved)):
            flight.unsaved.clear()

    def update(self, turn: Turn) -> None:
        """Put a turn's new state into the conversation."""
        conversation = self.conversation
        turns = tuple(turn if old.id == turn.id else old for old in conversation.turns)
        self._conversation = replace(conversation, turns=turns)

    def end(self, flight: InFlight, reason: StopReason, done: Done | None = None) -> Turn:
        """The turn in its final state, stored."""
        turn = flight.end(reason, done)
        self.update(turn)
        self._store.finish_turn(turn)
        return turn

    def fail(self, flight: InFlight, error: OaChatError) -> Turn:
        """The failed turn; stored if the store itself still works."""
        flight.turn = replace(flight.turn, failure=error.message)
        with contextlib.suppress(StoreError):
            self.end(flight, StopReason.FAILED)
        return flight.turn

    def settle(self, flight: InFlight) -> None:
        """Keep the partial reply of a message whose events nobody reads any more."""
        if not flight.ended:
            with contextlib.suppress(StoreError):
                self.end(flight, StopReason.STOPPED)

    def _started(self) -> Conversation:
        if self._conversation is None:
            self._conversation = self._store.new_conversation(self._system_prompt)
        return self._conversation
