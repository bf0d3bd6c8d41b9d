"""`oa-chat --plain`: a linear chat for screen readers and dumb terminals.

Lines in, lines out, nothing is redrawn and nothing depends on colour. Ctrl+C stops a reply; at the
prompt it leaves. The commands are `/help`, `/new`, `/sent`, `/guard on|off`, `/flag LEVEL` and
`/quit`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing

from oa_chat.commands.lines import LineReader
from oa_chat.commands.report import verdict_lines
from oa_chat.corrections import level_named
from oa_chat.errors import OaChatError
from oa_chat.events import (
    Answer,
    Checked,
    Ended,
    Event,
    Failed,
    LoadFailed,
    NotSent,
    Ready,
    ReplyWithdrawn,
    Sending,
    Stopped,
    Token,
    Withheld,
)
from oa_chat.policy import Action
from oa_chat.printable import printable
from oa_chat.session import ChatSession
from oa_chat.verdict import Severity
from oa_chat.wording import NOT_JUDGED, left_out, not_sent, withdrawn_words, withheld_words

_HELP = """\
Type a message and press Enter. A backslash at the end of a line continues it on the next.
/new begins a new conversation. /sent shows what was sent to the model last.
/guard off and /guard on switch the guard for this conversation. /quit leaves.
/flag LEVEL says that the last flag is wrong (casual, possibly-needs-caution, and so on, or 0 to 4);
/flag back takes that back."""

_COMMANDS = {"/help", "/new", "/sent", "/guard on", "/guard off"}
"""Anything else that begins with a slash is a message."""
_FLAG = "/flag "
_ANSWERS = {
    "s": Answer.SEND,
    "w": Answer.WITHDRAW,
    "r": Answer.RETRY,
    "o": Answer.GUARD_OFF,
}


class PlainChat:
    """A conversation on standard input and output."""

    def __init__(self, session: ChatSession, help_lines: Callable[[], Sequence[str]]) -> None:
        self._session = session
        self._help_lines = help_lines
        self._seen = ""
        self._input: LineReader

    async def run(self, notices: Sequence[str] = ()) -> int:
        """Chat until the input ends; the exit code."""
        try:
            return await self._run(notices)
        finally:
            await self._session.close()

    async def _run(self, notices: Sequence[str]) -> int:
        self._input = LineReader()
        for notice in notices:
            _line(notice)
        async with aclosing(self._session.load()) as events:
            async for event in events:
                if isinstance(event, Ready):
                    _line(f"Ready: {event.part} {printable(event.name)} on {event.device}.")
                elif isinstance(event, LoadFailed):
                    _line(f"The {event.part} model did not load: {printable(str(event.error))}")
        _line("Type /help for help.")
        while (text := await self._read("You: ")) is not None:
            command = text.strip()
            if command == "/quit":
                break
            if command in _COMMANDS:
                self._obey(command)
            elif command.startswith(_FLAG):
                self._correct(command.removeprefix(_FLAG))
            elif command:
                await self._send(text)
        return 0

    def _obey(self, command: str) -> None:
        """Do what a command says."""
        if command == "/new":
            self._session.new_conversation()
            _line("A new conversation.")
        elif command == "/sent":
            _line(printable(self._seen) or "Nothing was sent yet.")
        elif command == "/help":
            _line(_HELP)
        else:
            self._switch_guard(off=command == "/guard off")

    def _correct(self, word: str) -> None:
        """Keep what the user says about the newest flag."""
        turns = self._session.conversation.turns
        level = level_named(word)
        if not turns:
            _line("There is no message yet.")
            return
        if level is None and word.strip() != "back":
            names = ", ".join(level.words.replace(" ", "-") for level in Severity)
            _line(f"That is no level. The levels: {names}.")
            return
        try:
            self._session.correct(turns[-1].id, level)
        except OaChatError as error:
            _line(f"That did not work: {printable(str(error))}")
            return
        said = f"Noted: you said {level.words}." if level is not None else "Taken back."
        _line(f"{said} No verdict changes by that.")

    def _switch_guard(self, *, off: bool) -> None:
        if self._session.guard is None:
            _line("There is no guard. Leave with /quit and start without --guard none.")
            return
        try:
            self._session.switch_guard(off)
        except OaChatError as error:
            _line(f"That did not work: {printable(str(error))}")
            return
        _line(f"The guard is {'off' if off else 'on'} for this conversation.")

    async def _send(self, text: str) -> None:
        loop = asyncio.get_running_loop()
        handled = sys.platform != "win32"
        if handled:
            loop.add_signal_handler(signal.SIGINT, self._session.stop)
        try:
            async with aclosing(self._session.send(text, self._ask)) as events:
                async for event in events:
                    self._follow(event)
        finally:
            if handled:
                loop.remove_signal_handler(signal.SIGINT)

    def _follow(self, event: Event) -> None:
        if isinstance(event, Checked):
            self._show_verdict(event)
        elif isinstance(event, Sending):
            self._seen = event.seen
            if event.newly_skipped:
                _line(left_out(event.newly_skipped))
            _write("Reply: ")
        elif isinstance(event, Token):
            _write(printable(event.text))
        elif isinstance(event, ReplyWithdrawn):
            flag = event.withdrawn.verdicts[-1]
            _line("\n" + withdrawn_words(flag, again=event.again))
            if flag.rule:
                _line(f"Rule: {printable(flag.rule)}")
        elif isinstance(event, Ended):
            self._end(event)

    def _end(self, event: Ended) -> None:
        if isinstance(event, Stopped):
            _line("\nStopped. What came so far is kept.")
        elif isinstance(event, NotSent):
            blocked = event.decision.action is Action.BLOCK
            _line(not_sent(event.decision.action) if blocked else "Not sent.")
        elif isinstance(event, Failed):
            _line(f"\nThat did not work: {printable(str(event.error))}")
        elif isinstance(event, Withheld):
            failure = f" ({printable(event.turn.failure)})" if event.turn.failure else ""
            _line(f"\n{withheld_words(event.turn)}{failure}")
        else:
            _write("\n" if event.turn.reply else "")
            said = event.turn.reply_verdict
            if said and not said.readable:
                _line(f"{NOT_JUDGED} ({printable(said.failure)})")

    def _show_verdict(self, event: Checked) -> None:
        if event.verdict.flagged or not event.decision.silent:
            _line("\n".join(verdict_lines(event.verdict, event.decision)))
        if event.decision.show_help:
            _line("\n".join(printable(line) for line in self._help_lines()))

    async def _ask(self, checked: Checked) -> Answer:
        held = checked.decision.action is Action.HOLD
        question = (
            "Retry (r), send it unchecked once (s), switch the guard off (o), or withdraw it (w)? "
            if held
            else "Send it with the rule as a guideline (s), or withdraw it (w)? "
        )
        reply = await self._read(question)
        return _ANSWERS.get((reply or "").strip().lower()[:1], Answer.WITHDRAW)

    async def _read(self, prompt: str) -> str | None:
        """A line of input, continued while it ends with a backslash; None at the end."""
        lines: list[str] = []
        while True:
            _write(prompt if not lines else "... ")
            line = await self._input.text()
            if line is None:
                return None
            if not line.endswith("\\"):
                return "\n".join([*lines, line])
            lines.append(line[:-1])


def _line(text: str) -> None:
    _write(text + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
