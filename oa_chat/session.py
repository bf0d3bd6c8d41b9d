"""One conversation with a guarded model: the straight line of a message.

`ChatSession.send` is the only way from a typed message to a model. It saves, judges, decides, asks
where the policy says so, sends, and stores the reply as it streams; all front ends consume its
events. Nothing is generated before the verdict is known; evaluating the prompt may run meanwhile,
so that the guard costs next to nothing. The session knows no screen and no model format.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace

from oa_chat.backend import ChatBackend
from oa_chat.conversation import Conversation, Message, StopReason, Turn
from oa_chat.corrections import Correction, Corrections
from oa_chat.engine.protocol import Done, Piece, Prefilled, Progress, Prompted, Sampling
from oa_chat.errors import OaChatError, StoreError, unexpected
from oa_chat.events import (
    Answer,
    Ask,
    Checked,
    Event,
    Failed,
    Finished,
    LoadEvent,
    NotSent,
    Saved,
    Sending,
    Stopped,
    Token,
)
from oa_chat.guards.guard import Guard
from oa_chat.imitation import defuse
from oa_chat.inflight import InFlight, Withdrawn
from oa_chat.loading import Loadable, load_side_by_side
from oa_chat.policies.shelf import Shelf
from oa_chat.policy import Action, Policy, compose_sent, decide_message, one_rule
from oa_chat.stopping import StopRequested, StopSwitch
from oa_chat.store import Store
from oa_chat.verdict import Severity

_SAVE_SECONDS = 0.25
"""How often a streaming reply is written to disk."""


@dataclass(frozen=True, slots=True)
class ChatSetup:
    """What a session is put together from."""

    chat: ChatBackend
    chat_name: str
    guard: Guard | None
    """None if the user runs without a guard."""
    store: Store
    policy: Policy
    overrides: Mapping[Severity, Action] = field(default_factory=dict)
    """Actions of single levels that hold under every policy."""
    policies: Shelf = field(default_factory=Shelf)
    """Where `choose_policy` finds others."""
    sampling: Sampling = field(default_factory=Sampling)
    system_prompt: str = ""
    starter: bool = False
    """The embedded small-talk model is in use."""
    clock: Callable[[], float] = time.perf_counter


_STOPS = {
    "complete": StopReason.COMPLETE,
    "length": StopReason.LENGTH,
    "cancelled": StopReason.STOPPED,
}


class ChatSession:
    """A conversation, its guard and its model. One message at a time."""

    def __init__(self, setup: ChatSetup, conversation: Conversation | None = None) -> None:
        self.policy = setup.policy
        self._overrides = setup.overrides
        self.policies = setup.policies
        self.sampling = setup.sampling
        self.chat_name = setup.chat_name
        self.starter = setup.starter
        self.chat = setup.chat
        self.guard = setup.guard
        self.store = setup.store
        self._system_prompt = setup.system_prompt
        self._clock = setup.clock
        self._conversation = conversation
        self._skipped = 0
        self._stop = StopSwitch()
        self._replying = False

    # ------------------------------------------------------------ state

    @property
    def conversation(self) -> Conversation:
        """The current conversation. A new one is in the store from its first message on."""
        if self._conversation is None:
            return Conversation(id=0, title="", system_prompt=self._system_prompt)
        return self._conversation

    @property
    def guard_name(self) -> str:
        """The guard's name, or "none"."""
        return self.guard.name if self.guard else "none"

    @property
    def guard_off(self) -> bool:
        """Whether messages of this conversation go unjudged."""
        return self.guard is None or self.conversation.guard_off

    def switch_guard(self, off: bool) -> None:
        """Switch the guard off for this conversation, or on again. Raises StoreError."""
        conversation = self._started_conversation()
        self.store.switch_guard(conversation.id, off)
        self._conversation = replace(conversation, guard_off=off)

    def corrections(self) -> dict[int, Correction]:
        """What the user said about the flags of this conversation, by the turn's id."""
        return Corrections(self.store).of_conversation(self.conversation.id)

    def correct(self, turn_id: int, severity: Severity | None, note: str = "") -> None:
        """Keep which level would have been right for a message; None takes it back.

        No verdict changes by that. Raises StoreError.
        """
        corrections = Corrections(self.store)
        if severity is None:
            corrections.take_back(turn_id)
        else:
            corrections.add(turn_id, severity, note)

    def choose_policy(self, name: str) -> None:
        """Go on under another policy; the user's own actions for single levels stay.

        Raises SettingsError, and stays with the old one, for a name or file that is no policy.
        """
        self.policy = self.policies.load(name).policy.with_overrides(self._overrides)

    def new_conversation(self) -> None:
        """Begin a new conversation, judged again."""
        self._conversation = None
        self._skipped = 0

    def stop(self) -> None:
        """End the running message soon: its stream ends with `Stopped`.

        A message that was handed over a moment ago and does not run yet counts as running.
        """
        self._stop.set()
        if self._replying:
            self.chat.cancel()

    async def close(self) -> None:
        """End the models and close the store."""
        closing = [self.chat.close()] + ([self.guard.close()] if self.guard else [])
        await asyncio.gather(*closing, return_exceptions=True)
        self.store.close()

    # ------------------------------------------------------------ loading

    async def load(self) -> AsyncGenerator[LoadEvent, None]:
        """Load guard and chat model side by side, with progress."""
        parts: dict[str, Loadable] = {"chat": self.chat}
        if self.guard:
            parts["guard"] = self.guard
        async with contextlib.aclosing(load_side_by_side(parts)) as events:
            async for event in events:
                yield event

    # ------------------------------------------------------------ the straight line

    async def send(self, text: str, ask: Ask) -> AsyncGenerator[Event, None]:
        """Send a message; the events end with Finished, Stopped, NotSent or Failed."""
        try:
            flight = InFlight(self._add_turn(text), self._clock())
        except StoreError as error:
            self._stop.clear()
            yield Failed(Turn(id=0, user=text, stop_reason=StopReason.FAILED), error)
            return
        try:
            yield Saved(flight.turn)
            async with contextlib.aclosing(self._carry(flight, ask)) as events:
                async for event in events:
                    yield event
        except OaChatError as error:
            yield Failed(self._fail(flight, error), error)
        except Exception as error:  # noqa: BLE001 - a bug must not lose what was typed
            bug = unexpected(error)
            yield Failed(self._fail(flight, bug), bug)
        finally:
            await flight.end_prefill()
            self._settle(flight)
            self._stop.clear()

    async def _carry(self, flight: InFlight, ask: Ask) -> AsyncGenerator[Event, None]:
        """Carry a saved message through judgement and reply."""
        flight.start_prefill(asyncio.create_task(self._prefill(flight.turn.user)))
        try:
            async with contextlib.aclosing(self._judge(flight, ask)) as judged:
                async for event in judged:
                    yield event
            async with contextlib.aclosing(self._reply(flight)) as replied:
                async for event in replied:
                    yield event
        except StopRequested:
            yield Stopped(self._end(flight, StopReason.STOPPED))
        except Withdrawn as withdrawn:
            turn = self._end(flight, withdrawn.reason)
            yield NotSent(turn, withdrawn.decision, withdrawn.edit)

    async def _judge(self, flight: InFlight, ask: Ask) -> AsyncGenerator[Event, None]:
        """Judge and decide. Returns if the message may be sent, else raises Withdrawn."""
        if self.guard is None or self.guard_off:
            flight.turn = replace(flight.turn, action=Action.PASS)
            return
        judged = [*self.conversation.messages_typed(), Message("user", flight.turn.user)]
        while True:
            check = flight.unless_prefill_fails(self.guard.check(judged))
            verdict = await self._stop.unless_set(check)
            decision = decide_message(flight.turn.user, verdict, self.policy)
            flight.decision = decision
            verdicts = (*flight.turn.verdicts, verdict)
            flight.turn = replace(flight.turn, verdicts=verdicts, action=decision.action)
            self.store.add_verdict(flight.turn.id, verdict)
            self._update(flight.turn)
            checked = Checked(verdict, decision)
            yield checked
            if await self._may_send(checked, ask):
                return

    async def _may_send(self, checked: Checked, ask: Ask) -> bool:
        """Whether the message may go; False to judge again. Raises Withdrawn if it may not."""
        decision = checked.decision
        if decision.action in (Action.PASS, Action.NUDGE):
            return True
        if decision.action is Action.BLOCK:
            raise Withdrawn(decision, StopReason.BLOCKED)
        answer = await self._stop.unless_set(ask(checked))
        held = decision.action is Action.HOLD
        if answer is Answer.SEND:
            return True
        if held and answer is Answer.GUARD_OFF:
            self.switch_guard(off=True)
            return True
        if held and answer is Answer.RETRY:
            return False
        raise Withdrawn(decision, StopReason.WITHDRAWN, edit=answer is Answer.EDIT)

    async def _reply(self, flight: InFlight) -> AsyncGenerator[Event, None]:
        """Send the message and stream the reply."""
        sent = compose_sent(flight.turn.user, flight.decision.guideline if flight.decision else "")
        prefilled = await self._stop.unless_set(flight.finish_prefill())
        self._skipped += prefilled.skipped
        transcript = self._transcript(sent)
        flight.turn = replace(flight.turn, sent=sent)
        self.store.set_sent(flight.turn.id, sent, flight.turn.action)
        self._update(flight.turn)
        self._replying = True
        try:
            async with contextlib.aclosing(self.chat.reply(transcript, self.sampling)) as answers:
                async for answer in answers:
                    if self._stop.is_set():
                        self.chat.cancel()
                    event = self._follow(flight, answer)
                    if event is not None:
                        yield event
        finally:
            self._replying = False

    def _follow(self, flight: InFlight, answer: Prompted | Progress | Piece | Done) -> Event | None:
        """Take one answer of the chat model into the turn."""
        if isinstance(answer, Piece):
            now = self._clock()
            flight.take(answer.text, now)
            if now - flight.saved >= _SAVE_SECONDS:
                self._save_pieces(flight, now)
            return Token(answer.text, answer.tokens)
        if isinstance(answer, Prompted):
            self._skipped += answer.skipped
            return self._sending(flight, answer)
        if isinstance(answer, Done):
            turn = self._end(flight, _STOPS[answer.stop], answer)
            return Stopped(turn) if answer.stop == "cancelled" else Finished(turn)
        return None

    def _save_pieces(self, flight: InFlight, now: float) -> None:
        """Write what came since the last time; later, if another program holds the file."""
        flight.saved = now
        if self.store.append_reply(flight.turn.id, "".join(flight.unsaved)):
            flight.unsaved.clear()

    def _sending(self, flight: InFlight, prompted: Prompted) -> Sending:
        flight.prompted(prompted.tokens)
        return Sending(
            sent=flight.turn.sent or "",
            guideline=one_rule(flight.decision.guideline) if flight.decision else "",
            seen=prompted.tail,
            prompt_tokens=prompted.tokens,
            cached_tokens=flight.cached_tokens,
            context=prompted.context,
            skipped_turns=self._skipped,
            newly_skipped=flight.skipped_turns + prompted.skipped,
        )

    # ------------------------------------------------------------ pieces of the line

    def _add_turn(self, text: str) -> Turn:
        conversation = self._started_conversation()
        turn = self.store.add_turn(conversation.id, text, self.chat_name)
        self._conversation = replace(conversation, turns=(*conversation.turns, turn))
        return turn

    def _started_conversation(self) -> Conversation:
        if self._conversation is None:
            self._conversation = self.store.new_conversation(self._system_prompt)
        return self._conversation

    def _transcript(self, sent: str) -> list[Message]:
        """What the model sees: the turns that are not left out, then the new message."""
        system = self.conversation.system_prompt
        earlier = self.conversation.exchanges_sent()[2 * self._skipped :]
        head = [Message("system", system)] if system else []
        return [*head, *earlier, Message("user", sent)]

    async def _prefill(self, typed: str) -> Prefilled:
        """Evaluate the prompt while the guard thinks. The guideline can only come behind it."""
        await self.chat.load()
        transcript = self._transcript(defuse(typed))
        return await self.chat.prefill(transcript, max_tokens=self.sampling.max_tokens)

    def _end(self, flight: InFlight, reason: StopReason, done: Done | None = None) -> Turn:
        """The turn in its final state, stored."""
        turn = flight.end(reason, done)
        self._update(turn)
        self.store.finish_turn(turn)
        return turn

    def _fail(self, flight: InFlight, error: OaChatError) -> Turn:
        """The failed turn; stored if the store itself still works."""
        flight.turn = replace(flight.turn, failure=error.message)
        with contextlib.suppress(StoreError):
            self._end(flight, StopReason.FAILED)
        return flight.turn

    def _settle(self, flight: InFlight) -> None:
        """Keep the partial reply of a message whose events nobody reads any more."""
        if not flight.ended:
            with contextlib.suppress(StoreError):
                self._end(flight, StopReason.STOPPED)

    def _update(self, turn: Turn) -> None:
        conversation = self.conversation
        turns = tuple(turn if old.id == turn.id else old for old in conversation.turns)
        self._conversation = replace(conversation, turns=turns)
