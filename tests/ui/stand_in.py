"""A session without models: the same seams as `ChatSession`, with scripted answers.

Everything is fixed, latencies and speeds included, so that a picture of the screen is the same on
every machine. Gates let a test hold a reply where it wants to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from oa_chat.conversation import Conversation, StopReason, Timing, Turn, WithdrawnReply
from oa_chat.corrections import Correction
from oa_chat.errors import OaChatError
from oa_chat.events import (
    Answer,
    Ask,
    Checked,
    Event,
    Failed,
    Finished,
    LoadEvent,
    LoadFailed,
    Loading,
    NotSent,
    Ready,
    ReplyChecked,
    ReplyHeld,
    ReplyWithdrawn,
    Saved,
    Sending,
    Stopped,
    Token,
    Withheld,
)
from oa_chat.policies.shelf import Shelf, shipped
from oa_chat.policy import Action, Policy, compose_sent, decide, decide_message, defuse
from oa_chat.reply_rules import ReplyAction
from oa_chat.verdict import RuleSource, Severity, Verdict, unreadable

SHELF = Shelf()
BALANCED = shipped()["balanced"]
SHARES = (
    (0.94, 0.03, 0.02, 0.006, 0.004),
    (0.2, 0.61, 0.13, 0.04, 0.02),
    (0.06, 0.2, 0.62, 0.1, 0.02),
    (0.02, 0.06, 0.16, 0.71, 0.05),
    (0.004, 0.006, 0.02, 0.05, 0.92),
)
RULE = "It's good to ask a friend why they did something before deciding to get back at them."


def verdict(
    severity: Severity,
    rule: str = "",
    source: RuleSource = "rulebook",
    windows: int = 1,
) -> Verdict:
    """A verdict with fixed numbers."""
    return Verdict(
        severity=severity,
        guard="minilm-l6",
        probabilities=SHARES[severity],
        rule=rule,
        rule_source=source if rule else "",
        latency_ms=47.0,
        windows=windows,
    )


CASUAL = verdict(Severity.CASUAL)
FLAGGED = verdict(Severity.PROBABLY, RULE)
CAUTION = verdict(Severity.CAUTION, RULE)
URGENT = verdict(Severity.INTERVENTION, "You should get help when someone is in danger.")
NONE = unreadable("minilm-l6", "The guard did not answer within 20 seconds.", latency_ms=20_000)


@dataclass
class Script:
    """What happens to one message."""

    verdicts: list[Verdict] = field(default_factory=lambda: [CASUAL])
    """One for each time that the guard is asked."""
    pieces: Sequence[str] = ("Hello! ", "How are you?")
    error: OaChatError | None = None
    """Raised instead of sending, or after the pieces if `late`."""
    late: bool = False
    crash: Exception | None = None
    skipped: int = 0
    gate: asyncio.Event | None = None
    """If set, the reply waits for it before its last piece."""
    reply_verdict: Verdict | None = None
    withdrawn: Sequence[WithdrawnReply] = ()
    """Tries at the reply that come first and are taken back."""
    held: bool = False
    """The last piece waits for the guard."""
    withheld: StopReason | None = None
    """How the guard ends the reply, if it does."""


class StandIn:
    """The seams of `ChatSession`, scripted."""

    def __init__(
        self,
        scripts: Sequence[Script] = (),
        *,
        policy: Policy = BALANCED,
        overrides: Mapping[Severity, Action] | None = None,
        turns: Sequence[Turn] = (),
        loads: Sequence[LoadEvent] | None = None,
        guard_off: bool = False,
        starter: bool = False,
        policies: Shelf = SHELF,
    ) -> None:
        self.scripts = list(scripts)
        self._overrides = overrides or {}
        self.policies = policies
        self.policy = policy.with_overrides(self._overrides)
        self.chat_name = "qwen3-4b-instruct-q4_k_m"
        self.guard_name = "minilm-l6"
        self.starter = starter
        self.conversation = Conversation(1, "", "", tuple(turns), guard_off)
        self.loads = loads if loads is not None else READY
        self.loaded = asyncio.Event()
        self.stopped = asyncio.Event()
        self.closed = False
        self.sent: list[str] = []
        self.answers: list[Answer] = []
        self.said: dict[int, Correction] = {}

    @property
    def guard_off(self) -> bool:
        """Whether messages go unjudged."""
        return self.conversation.guard_off

    def choose_policy(self, name: str) -> None:
        """Go on under another profile, with the same overrides."""
        self.policy = self.policies.load(name).policy.with_overrides(self._overrides)

    def switch_guard(self, off: bool) -> None:
        """Switch the guard."""
        self.conversation = replace(self.conversation, guard_off=off)

    def corrections(self) -> dict[int, Correction]:
        """What was said about flags."""
        ids = {turn.id for turn in self.conversation.turns}
        return {number: said for number, said in self.said.items() if number in ids}

    def correct(self, turn_id: int, severity: Severity | None, note: str = "") -> None:
        """Keep what is said about a flag."""
        self.said.pop(turn_id, None)
        if severity is not None:
            turn = next(turn for turn in self.conversation.turns if turn.id == turn_id)
            self.said[turn_id] = Correction(1, severity, note, "", turn.user, turn.verdict, turn_id)

    def new_conversation(self) -> None:
        """Begin anew."""
        self.conversation = Conversation(2, "", "")

    def stop(self) -> None:
        """Stop the reply."""
        self.stopped.set()

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    async def load(self) -> AsyncGenerator[LoadEvent, None]:
        """Give the load events."""
        for event in self.loads:
            yield event
        self.loaded.set()

    def _keep(self, turn: Turn) -> Turn:
        turns = self.conversation.turns
        if turns and turns[-1].id == turn.id:
            turns = turns[:-1]
        self.conversation = replace(self.conversation, turns=(*turns, turn))
        return turn

    async def send(self, text: str, ask: Ask) -> AsyncGenerator[Event, None]:
        """Follow the next script."""
        self.stopped.clear()
        self.sent.append(text)
        script = self.scripts.pop(0) if self.scripts else Script()
        turn = self._keep(Turn(id=len(self.conversation.turns) + 1, user=text))
        yield Saved(turn)
        async for event in self._judged(turn, script, ask):
            yield event
            if isinstance(event, NotSent):
                return
        turn = self.conversation.turns[-1]
        if script.crash:
            raise script.crash
        if script.error and not script.late:
            yield Failed(
                self._end(turn, StopReason.FAILED, failure=script.error.message), script.error
            )
            return
        async for event in self._replied(turn, script):
            yield event

    async def _judged(self, turn: Turn, script: Script, ask: Ask) -> AsyncIterator[Event]:
        if self.guard_off:
            self._keep(replace(turn, action=Action.PASS, sent=turn.user))
            return
        given = list(script.verdicts)
        while True:
            judged = given.pop(0)
            decision = decide_message(turn.user, judged, self.policy)
            turn = replace(
                turn,
                verdicts=(*turn.verdicts, judged),
                action=decision.action,
                reason=decision.reason,
            )
            self._keep(turn)
            checked = Checked(judged, decision)
            yield checked
            if decision.action is Action.BLOCK:
                yield NotSent(self._end(turn, StopReason.BLOCKED), decision)
                return
            answer = Answer.SEND
            if decision.action in (Action.CONFIRM, Action.HOLD):
                answer = await ask(checked)
                self.answers.append(answer)
            if answer is Answer.RETRY:
                continue
            if answer in (Answer.EDIT, Answer.WITHDRAW):
                ended = self._end(turn, StopReason.WITHDRAWN)
                yield NotSent(ended, decision, answer is Answer.EDIT)
                return
            if answer is Answer.GUARD_OFF:
                self.switch_guard(True)
            self._keep(replace(turn, sent=compose_sent(turn.user, decision.guideline)))
            return

    async def _replied(self, turn: Turn, script: Script) -> AsyncIterator[Event]:
        sent = turn.sent or turn.user
        seen = f"<|im_start|>user\n{sent}<|im_end|>\n<|im_start|>assistant\n"
        rule = sent.rpartition("[Guideline: ")[2][:-1] if sent != defuse(turn.user) else ""
        yield Sending(sent, rule, seen, 412, 371, 4096, script.skipped, script.skipped)
        for number, kept in enumerate(script.withdrawn, 1):
            yield Token(kept.text)
            yield ReplyChecked(kept.verdicts[-1], ReplyAction.WITHDRAW)
            turn = self._keep(replace(turn, withdrawn=(*turn.withdrawn, kept)))
            last = script.withheld is StopReason.FLAGGED and number == len(script.withdrawn)
            yield ReplyWithdrawn(kept, again=not last)
            if last:
                yield Withheld(self._end(turn, StopReason.FLAGGED), kept.verdicts[-1])
                return
            rule = f"{rule} {kept.verdicts[-1].rule}".strip()  # as `InFlight.also` does
            yield Sending(compose_sent(turn.user, rule), rule, seen, 420, 400, 4096, 0, 0)
        reply = ""
        for number, piece in enumerate(script.pieces, 1):
            if script.held and number == len(script.pieces):
                yield ReplyHeld()
            if script.gate and number == len(script.pieces):
                await self._gate_or_stop(script.gate)
            if self.stopped.is_set():
                yield Stopped(self._end(turn, StopReason.STOPPED, reply=reply))
                return
            reply += piece
            yield Token(piece)
            await asyncio.sleep(0)
        if script.error:
            failed = self._end(turn, StopReason.FAILED, reply=reply, failure=script.error.message)
            yield Failed(failed, script.error)
            return
        if script.reply_verdict:
            turn = replace(turn, verdicts=(*turn.verdicts, script.reply_verdict))
            action = ReplyAction.NOTE if script.reply_verdict.flagged else ReplyAction.PASS
            yield ReplyChecked(script.reply_verdict, action, whole=True)
        if script.withheld and script.reply_verdict:
            why = script.reply_verdict.failure
            ended = self._end(turn, script.withheld, reply=reply, failure=why)
            yield Withheld(ended, script.reply_verdict)
            return
        yield Finished(self._end(turn, StopReason.COMPLETE, reply=reply))

    async def _gate_or_stop(self, gate: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (gate, self.stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _end(self, turn: Turn, reason: StopReason, *, reply: str = "", failure: str = "") -> Turn:
        timing = Timing(47.0, 310.0, 412, 371, 77, 2000.0) if reply else Timing(47.0)
        return self._keep(
            replace(turn, stop_reason=reason, reply=reply, failure=failure, timing=timing)
        )


READY: tuple[LoadEvent, ...] = (
    Ready("guard", "minilm-l6", "CPU", 512, 90.0),
    Ready("chat", "qwen3-4b-instruct-q4_k_m", "CPU", 4096, 900.0),
)
HALFWAY: tuple[LoadEvent, ...] = (
    Ready("guard", "minilm-l6", "CPU", 512, 90.0),
    Loading("chat", 45, 100),
)
BROKEN: tuple[LoadEvent, ...] = (
    Ready("guard", "minilm-l6", "CPU", 512, 90.0),
    LoadFailed("chat", OaChatError("/models/chat.gguf is truncated.", "Download it again.")),
)


def finished(number: int, text: str, reply: str, judged: Verdict = CASUAL) -> Turn:
    """A turn as it comes from the store."""
    decision = decide(judged, shipped()["balanced"])
    return Turn(
        id=number,
        user=text,
        sent=compose_sent(text, decision.guideline),
        reply=reply,
        verdicts=(judged,),
        action=decision.action,
        reason=decision.reason,
        stop_reason=StopReason.COMPLETE,
    )
