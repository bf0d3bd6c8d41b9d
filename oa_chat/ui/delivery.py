"""Puts the events of one message on the screen.

The one place that knows both the session's events and the widgets. It asks, shows and hands text
back; it never decides.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from oa_chat.conversation import StopReason, Turn
from oa_chat.errors import OaChatError
from oa_chat.events import (
    Answer,
    Checked,
    Event,
    Failed,
    Finished,
    NotSent,
    ReplyChecked,
    ReplyHeld,
    ReplyWithdrawn,
    Saved,
    Sending,
    Stopped,
    Token,
    Withheld,
)
from oa_chat.policy import Action
from oa_chat.printable import printable
from oa_chat.ui.draft import Draft
from oa_chat.ui.guard_text import Report, reply_verdict
from oa_chat.ui.turn_view import TurnView
from oa_chat.ui.wording import action_words, outcome, reply_outcome
from oa_chat.verdict import Verdict
from oa_chat.wording import ACTIONS

if TYPE_CHECKING:
    from oa_chat.ui.chat_screen import ChatScreen

_BACK = "Your text is back in the composer."
_WAITS = {
    "ask": "waiting for you",
    "hold": "the guard is reading the reply",
    "again": "the guard flagged the reply · asking once more",
}
_RECALL = "Up in the composer brings your text back."


class Delivery:
    """One message on its way, from Enter to the end of the reply."""

    def __init__(self, screen: ChatScreen, draft: Draft) -> None:
        self._screen = screen
        self._draft = draft
        self._view = TurnView(Turn(id=0, user=draft.text), on_its_way=True)
        self._shown = False
        self._verdict: Verdict | None = None
        self._sending: Sending | None = None
        self._done = ""
        self._why = ""
        self._reply: Verdict | None = None
        self._reply_done = ""
        self._phase = "check"
        self._tokens = 0
        self._began = 0.0

    # ------------------------------------------------------------ the stream

    async def run(self) -> None:
        """Follow the message to its end. An error that nobody foresaw is shown, too.

        The session comes first: nothing is drawn before it has saved the message. However this
        ends, the session's stream is closed, so that nothing of it holds the models.
        """
        try:
            async with aclosing(self._screen.session.send(self._draft.text, self.ask)) as events:
                async for event in events:
                    await self.follow(event)
        except OaChatError as error:
            await self._failed(self._broken_turn(), error)
        except Exception as error:  # noqa: BLE001 - total: nothing may close the app or lose text
            self._screen.log(repr(error))
            hint = "Your conversation is kept. Please try again."
            kind = type(error).__name__
            await self._failed(self._broken_turn(), OaChatError(f"Something broke: {kind}.", hint))
        finally:
            if self._shown:
                await self._view.quiet()

    async def _show(self) -> None:
        """Put the message on the screen, once."""
        if not self._shown:
            self._shown = True
            await self._screen.begin(self._view)
            await self._view.wait(self._waiting_for)
            self._report()

    def _broken_turn(self) -> Turn:
        """The turn as far as it came, when the session could not say how it ended."""
        turns = self._screen.session.conversation.turns
        newest = turns[-1] if turns and turns[-1].id == self._view.turn.id else self._view.turn
        return replace(newest, stop_reason=StopReason.FAILED)

    async def follow(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Saved(turn):
                self._view.turn = turn
                await self._show()
            case Checked():
                await self._checked(event)
            case Sending():
                await self._sent(event)
            case Token(text, tokens):
                await self._token(text, tokens)
            case ReplyHeld() | ReplyChecked() | ReplyWithdrawn():
                await self._reading(event)
            case Finished(turn) | Stopped(turn) | Withheld(turn):
                await self._end(turn)
            case NotSent(turn):
                await self._not_sent(turn, event)
            case Failed(turn, error):
                await self._failed(turn, error)

    async def _checked(self, event: Checked) -> None:
        self._verdict = event.verdict
        waits = event.decision.action in (Action.CONFIRM, Action.HOLD)
        action = event.decision.action
        self._done = "waiting for you" if waits else action_words(action, event.verdict)
        self._why = event.decision.reason if event.verdict.readable else ""
        self._phase = "ask" if waits else "read"
        await self._view.judged(event.verdict, self._done, action)
        if event.decision.show_help:
            await self._view.show_help(list(self._screen.help_lines()))
        self._report()

    async def _sent(self, event: Sending) -> None:
        self._sending = event
        self._phase = self._phase if self._phase == "again" else "read"
        if self._verdict is None:
            self._done = "sent unchecked"
        elif self._done == "waiting for you":
            self._done = _decided_words(self._verdict, event)
            await self._view.judged(self._verdict, self._done, Action.CONFIRM)
        if event.newly_skipped:
            await self._view.note(skipped_words(event))
        self._screen.status.used = event.prompt_tokens
        self._screen.status.context = event.context
        self._screen.refresh_state()
        self._report()

    async def _token(self, text: str, tokens: int) -> None:
        now = time.monotonic()
        self._began = self._began or now
        self._tokens += tokens
        await self._view.write(text)
        status = self._screen.status
        if self._sending:
            status.used = self._sending.prompt_tokens + self._tokens
        if (spent := now - self._began) > 0.5:
            status.tokens_per_second = (self._tokens - 1) / spent
        self._screen.refresh_status_soon()

    async def _reading(self, event: ReplyHeld | ReplyChecked | ReplyWithdrawn) -> None:
        """Show what the guard does about the reply."""
        if isinstance(event, ReplyHeld):
            self._phase = "hold"
            await self._view.hold(self._waiting_for)
        elif isinstance(event, ReplyChecked):
            self._reply_checked(event)
        else:
            await self._withdrawn(event)

    def _reply_checked(self, event: ReplyChecked) -> None:
        if self._reply is None or event.verdict.badness >= self._reply.badness:
            self._reply = event.verdict
        self._reply_done = "being read"
        self._report()

    async def _withdrawn(self, event: ReplyWithdrawn) -> None:
        await self._view.withdraw(event.withdrawn)
        if event.again:
            self._reply_done = "withdrawn; the model is asked once more"
            self._phase, self._tokens, self._began = "again", 0, 0.0
            await self._view.wait(self._waiting_for)
            self._report()
            self._reply = None

    async def _end(self, turn: Turn, error: OaChatError | None = None, advice: str = "") -> None:
        self._done = outcome(turn)
        self._verdict = turn.verdict or self._verdict
        self._reply, self._reply_done = reply_verdict(turn), reply_outcome(turn)
        await self._view.end(turn, error, advice)
        if turn.timing.tokens_per_second:
            self._screen.status.tokens_per_second = turn.timing.tokens_per_second
        if self._sending and turn.timing.reply_tokens:
            self._screen.status.used = self._sending.prompt_tokens + turn.timing.reply_tokens
        self._report()

    async def _not_sent(self, turn: Turn, event: NotSent) -> None:
        blocked = turn.stop_reason is StopReason.BLOCKED
        advice = ""
        if blocked or event.edit:
            back = self._screen.composer.put_back(self._draft)
            advice = _BACK if back else _RECALL
        if event.decision.phrase:
            advice = f"“{printable(event.decision.phrase)}” is not sent. {advice}"
        if blocked:
            advice += " You can rephrase it, or choose another policy with Ctrl+P."
        await self._end(turn, advice=advice)

    async def _failed(self, turn: Turn, error: OaChatError) -> None:
        advice = ""
        if not turn.id:  # it is not on disk: only the composer has it
            self._screen.composer.put_in_front(self._draft)
            advice = _BACK
        elif not turn.reply:
            advice = _BACK if self._screen.composer.put_back(self._draft) else _RECALL
        await self._show()
        await self._end(turn, error, advice)

    # ------------------------------------------------------------ asking

    async def ask(self, checked: Checked) -> Answer:
        """Ask about a message that waits. The question goes away with the message."""
        from oa_chat.ui.dialogs import Confirm, Hold  # only if one is needed

        kind = Hold if checked.decision.action is Action.HOLD else Confirm
        question = kind(checked)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def answered(result: Answer | None) -> None:
            if not answer.done():
                answer.set_result(result or Answer.EDIT)

        app = self._screen.app
        self._asking(True)
        try:
            await app.push_screen(question, answered)
            reply = await answer
        finally:
            self._asking(False)
            while (not answer.done() or answer.cancelled()) and question in app.screen_stack:
                app.pop_screen()  # help and the palette may have been opened above it
        if reply is Answer.RETRY:
            self._phase, self._verdict, self._done = "check", None, ""
            self._report()
        elif reply is Answer.GUARD_OFF:
            self._screen.call_later(self._screen.refresh_state)  # once the session has done it
        return reply

    def _asking(self, asking: bool) -> None:
        self._screen.asking = asking
        if self._screen.is_attached:
            self._screen.refresh_state()

    # ------------------------------------------------------------ words

    def _waiting_for(self) -> str:
        """What the message waits for now."""
        session = self._screen.session
        parts = [] if session.guard_off else ["guard"]
        loading = [part for part in (*parts, "chat") if self._screen.header.progress(part)]
        if words := _WAITS.get(self._phase):
            return words
        if self._phase == "check" and loading:
            part = "the guard" if loading[0] == "guard" else "the chat model"
            return f"saved · waiting for {part} ({self._screen.header.progress(loading[0])})"
        if self._phase == "check" and not session.guard_off:
            return "the guard is reading"
        return "thinking"

    def _report(self) -> None:
        self._view.tick()
        off = self._screen.session.guard_off and self._verdict is None
        note = "" if off or self._verdict else "The guard is reading your message."
        self._screen.show_report(
            Report(
                self._verdict,
                self._done,
                self._sending,
                note,
                why=self._why,
                reply=self._reply,
                reply_done=self._reply_done,
                guideline=self._sending.guideline if self._sending else "",
            )
        )


def _decided_words(verdict: Verdict, event: Sending) -> str:
    """What was done with a message after the user was asked."""
    if not verdict.readable:
        return "sent unchecked, as you decided"
    return ACTIONS[Action.NUDGE if event.guideline else Action.PASS]


def skipped_words(event: Sending) -> str:
    """What is said when the context is full."""
    count = event.skipped_turns
    turns = "turn is" if count == 1 else "turns are"
    return f"Context full: the {count:,} oldest {turns} no longer seen by the model."
