"""One conversation with a guarded model: the straight line of a message.

`ChatSession.send` is the only way from a typed message to a model. It saves, judges, decides, asks
where the policy says so, sends, and stores the reply as it streams; all front ends consume its
events. Nothing is generated before the verdict is known; evaluating the prompt may run meanwhile,
so that the guard costs next to nothing. The guard reads along while the reply streams
(`replying`). The session knows no screen and no model format.
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
from oa_chat.engine.protocol import Done, Prefilled, Prompted, Sampling
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
    ReplyChecked,
    ReplyWithdrawn,
    Saved,
    Stopped,
    Token,
    Withheld,
)
from oa_chat.guards.guard import Guard
from oa_chat.guards.stages import StagedGuard
from oa_chat.imitation import defuse
from oa_chat.inflight import InFlight, Withdrawn
from oa_chat.loading import Loadable, load_side_by_side
from oa_chat.policies.shelf import Shelf
from oa_chat.policy import Action, Policy, decide_message
from oa_chat.record import Record
from oa_chat.reply_rules import GENERAL_RULE, ReplyMode, ReplyRules
from oa_chat.replying import Attempt, Judging, Said
from oa_chat.stopping import StopRequested, StopSwitch
from oa_chat.store import Store
from oa_chat.verdict import Severity


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
    replies: ReplyRules = field(default_factory=ReplyRules)
    """How replies are judged."""
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
        self.replies = setup.replies
        self.sampling = setup.sampling
        self.chat_name = setup.chat_name
        self.starter = setup.starter
        self.chat = setup.chat
        self.guard = setup.guard
        self.store = setup.store
        self._clock = setup.clock
        self._record = Record(setup.store, setup.chat_name, setup.system_prompt, conversation)
        self._stop = StopSwitch()
        self._replying = False

    # ------------------------------------------------------------ state

    @property
    def conversation(self) -> Conversation:
        """The current conversation. A new one is in the store from its first message on."""
        return self._record.conversation

    @property
    def guard_name(self) -> str:
        """The guard's name, or "none"."""
        return self.guard.name if self.guard else "none"

    @property
    def guard_off(self) -> bool:
        """Whether messages of this conversation go unjudged."""
        return self.guard is None or self.conversation.guard_off

    @property
    def reply_mode(self) -> ReplyMode:
        """How the next reply is judged."""
        return ReplyMode.OFF if self.guard_off else self.replies.mode_under(self.policy)

    def switch_guard(self, off: bool) -> None:
        """Switch the guard off for this conversation, or on again. Raises StoreError."""
        self._record.switch_guard(off)

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
        self._record.begin_anew()

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
        """Load guard and chat model side by side, with progress; a second guard comes later."""
        parts: dict[str, Loadable] = {"chat": self.chat}
        if self.guard:
            parts["guard"] = self.guard
        if isinstance(self.guard, StagedGuard):
            parts["second guard"] = self.guard.later
        async with contextlib.aclosing(load_side_by_side(parts)) as events:
            async for event in events:
                yield event

    # ------------------------------------------------------------ the straight line

    async def send(self, text: str, ask: Ask) -> AsyncGenerator[Event, None]:
        """Send a message; the events end with one of `events.Ended`."""
        try:
            flight = InFlight(self._record.add_turn(text), self._clock())
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
            yield Failed(self._record.fail(flight, error), error)
        except Exception as error:  # noqa: BLE001 - a bug must not lose what was typed
            bug = unexpected(error)
            yield Failed(self._record.fail(flight, bug), bug)
        finally:
            await flight.end_prefill()
            self._record.settle(flight)
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
            yield Stopped(self._record.end(flight, StopReason.STOPPED))
        except Withdrawn as withdrawn:
            turn = self._record.end(flight, withdrawn.reason)
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
            flight.decision, flight.guideline = decision, decision.guideline
            verdicts = (*flight.turn.verdicts, verdict)
            flight.turn = replace(
                flight.turn, verdicts=verdicts, action=decision.action, reason=decision.reason
            )
            self.store.add_verdict(flight.turn.id, verdict)
            self._record.update(flight.turn)
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
        """Send the message and stream the reply; once more, if the guard flags it."""
        prefilled = await self._stop.unless_set(flight.finish_prefill())
        self._record.skipped += prefilled.skipped
        for more in (True, False):
            transcript = self._record.set_sent(flight)
            attempt = Attempt(self.chat, self._stop, self._judging(flight.turn.user))
            self._replying = True
            try:
                async with contextlib.aclosing(attempt.run(transcript, self.sampling)) as answers:
                    async for said in answers:
                        yield self._follow(flight, said)
            finally:
                self._replying = False
            if attempt.unjudged:
                flight.turn = replace(flight.turn, failure=attempt.unjudged.failure)
                yield Withheld(self._record.end(flight, StopReason.UNJUDGED), attempt.unjudged)
            if not attempt.flag:
                return
            withdrawn = flight.withdraw(attempt.unshown)
            self.store.withdraw_reply(flight.turn.id, withdrawn)
            self._record.update(flight.turn)
            yield ReplyWithdrawn(withdrawn, again=more)
            if not more:
                yield Withheld(self._record.end(flight, StopReason.FLAGGED), attempt.flag)
            flight.also(attempt.flag.rule or GENERAL_RULE)

    def _judging(self, typed: str) -> Judging | None:
        """How the reply to a message is judged; None if it is not."""
        mode = self.reply_mode
        if self.guard is None or mode is ReplyMode.OFF:
            return None
        context = [*self.conversation.messages_typed(), Message("user", typed)]
        return Judging(self.guard, context, self.policy, self.replies, mode)

    def _follow(self, flight: InFlight, said: Said) -> Event:
        """Take what happens to a reply into the turn."""
        if isinstance(said, Token):
            flight.take(said.text, now := self._clock())
            self._record.save_reply(flight, now)
        elif isinstance(said, Prompted):
            self._record.skipped += said.skipped
            return flight.sending(said, self._record.skipped)
        elif isinstance(said, ReplyChecked):
            flight.noted(said.verdict, whole=said.whole)
        elif isinstance(said, Done):
            turn = self._record.end(flight, _STOPS[said.stop], said)
            return Stopped(turn) if said.stop == "cancelled" else Finished(turn)
        return said

    async def _prefill(self, typed: str) -> Prefilled:
        """Evaluate the prompt while the guard thinks. The guideline can only come behind it."""
        await self.chat.load()
        transcript = self._record.transcript(defuse(typed))
        return await self.chat.prefill(transcript, max_tokens=self.sampling.max_tokens)
