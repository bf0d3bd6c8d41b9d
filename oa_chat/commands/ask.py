"""`oa-chat ask`: one message, one reply, no screen.

The reply streams to standard output; the flag, the rule and everything else go to standard error.
With ``--json`` one object comes at the end instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from oa_chat.commands.lines import LineReader
from oa_chat.commands.report import reply_fields, verdict_fields, verdict_lines
from oa_chat.commands.terminal import is_terminal
from oa_chat.conversation import StopReason
from oa_chat.errors import GuardError, OaChatError
from oa_chat.events import (
    Answer,
    Checked,
    Ended,
    Event,
    Failed,
    Finished,
    NotSent,
    ReplyWithdrawn,
    Sending,
    Stopped,
    Token,
    Withheld,
)
from oa_chat.policy import Action
from oa_chat.printable import printable
from oa_chat.reply_rules import ReplyMode
from oa_chat.session import ChatSession
from oa_chat.wording import NOT_JUDGED, left_out, not_sent, withdrawn_words, withheld_words

EXIT_NOT_SENT = 8
"""The policy asks first, or blocks, and nobody said yes; or the reply was flagged twice."""
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class AskOptions:
    """How to ask."""

    as_json: bool = False
    yes: bool = False
    """Send with the guideline where the policy would ask."""
    help_lines: Callable[[], Sequence[str]] = tuple
    """Where a person can get help."""


class _Printer:
    """Follows the events of one message on the two output streams."""

    def __init__(self, session: ChatSession, options: AskOptions) -> None:
        self._session = session
        self._options = options
        self.result: dict[str, Any] = {}
        self.exit_code = 0
        self.error: OaChatError | None = None
        withdraws = session.reply_mode in (ReplyMode.STRICT, ReplyMode.BALANCED)
        self._waits = withdraws and not options.as_json and not is_terminal(sys.stdout)
        self._waiting: list[str] = []

    def follow(self, event: Event) -> None:
        """Print what an event says."""
        if isinstance(event, Checked):
            self.result["verdict"] = verdict_fields(event.verdict, event.decision)
            worth_saying = event.verdict.flagged or not event.decision.silent
            if worth_saying and not self._options.as_json:
                _say("\n".join(verdict_lines(event.verdict, event.decision)))
                if event.decision.show_help:
                    _say("\n".join(printable(line) for line in self._options.help_lines()))
        elif isinstance(event, Sending):
            if event.newly_skipped:
                _say(left_out(event.newly_skipped))
        elif isinstance(event, Token):
            self._text(event.text)
        elif isinstance(event, ReplyWithdrawn):
            self._withdrawn(event)
        elif isinstance(event, Ended):
            self._end(event)

    def _text(self, text: str) -> None:
        """A terminal shows what comes. A pipe, from which nothing can be withdrawn, waits."""
        if self._waits:
            self._waiting.append(text)
        elif not self._options.as_json:
            _write(printable(text) if is_terminal(sys.stdout) else text)

    def _withdrawn(self, event: ReplyWithdrawn) -> None:
        self._waiting.clear()
        kept = event.withdrawn
        said = {"text": kept.text, "unshown": kept.unshown}
        flag = kept.verdicts[-1]
        self.result.setdefault("withdrawn", []).append(said | reply_fields(flag))
        if not self._options.as_json:
            _say("\n" + withdrawn_words(flag, again=event.again))
            if flag.rule:
                _say(f"Rule: {printable(flag.rule)}")

    def _end(self, event: Ended) -> None:
        if self._waiting:
            _write("".join(self._waiting))
        if isinstance(event, Finished | Stopped | Withheld):
            self._finish(event)
        elif isinstance(event, NotSent):
            held = event.decision.action is Action.HOLD
            self.exit_code = GuardError.exit_code if held else EXIT_NOT_SENT
            self.result["stop_reason"] = event.turn.stop_reason.value
            hint = " (--yes does.)" if event.decision.action is Action.CONFIRM else ""
            _say(not_sent(event.decision.action) + hint)
        elif isinstance(event, Failed):
            self.result["stop_reason"] = event.turn.stop_reason.value
            self.result["reply"] = event.turn.reply
            self.error = event.error
            self.exit_code = event.error.exit_code

    def _finish(self, event: Finished | Stopped | Withheld) -> None:
        turn = event.turn
        said = turn.reply_verdict
        if isinstance(event, Stopped):
            self.exit_code = _INTERRUPTED
        elif isinstance(event, Withheld):
            flagged = turn.stop_reason is StopReason.FLAGGED
            self.exit_code = EXIT_NOT_SENT if flagged else GuardError.exit_code
        self.result.update(
            reply=turn.reply,
            sent=turn.sent,
            stop_reason=turn.stop_reason.value,
            reply_verdict=reply_fields(said) if said else None,
            timing={**asdict(turn.timing), "tokens_per_second": turn.timing.tokens_per_second},
        )
        if not self._options.as_json:
            _write("\n" if turn.reply or isinstance(event, Finished) else "")
        if isinstance(event, Withheld):
            _say(withheld_words(turn))
        elif said and not said.readable:
            _say(f"{NOT_JUDGED} ({printable(said.failure)})")

    def print_json(self, text: str) -> None:
        """The one object of ``--json``."""
        head = {"text": text, "model": self._session.chat_name, "guard": self._session.guard_name}
        body = head | {"verdict": None, "reply": "", "sent": None, "withdrawn": []} | self.result
        if self.error:
            body["error"] = _told(self.error)
        _write(json.dumps(body, ensure_ascii=not _is_utf8()) + "\n")


def print_failure(text: str, error: OaChatError) -> None:
    """The one object of ``--json`` when there is not even a session."""
    body = {"text": text, "verdict": None, "reply": "", "sent": None, "error": _told(error)}
    _write(json.dumps(body) + "\n")


async def ask(session: ChatSession, text: str, options: AskOptions) -> int:
    """Send one message and print what comes of it; the exit code."""
    printer = _Printer(session, options)

    async def answer(checked: Checked) -> Answer:
        return await _answer(checked, options)

    try:
        async with aclosing(session.send(text, answer)) as events:
            async for event in events:
                printer.follow(event)
    finally:
        await session.close()
    if options.as_json:
        printer.print_json(text)
    elif printer.error:
        raise printer.error
    return printer.exit_code


async def _answer(checked: Checked, options: AskOptions) -> Answer:
    """Yes where it was given beforehand; else ask on a terminal; else no."""
    confirm = checked.decision.action is Action.CONFIRM
    if confirm and options.yes:
        return Answer.SEND
    if options.as_json or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        return Answer.WITHDRAW
    question = "Send it with this rule as a guideline?" if confirm else "Send it unchecked?"
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    reply = await LineReader().text() or ""
    return Answer.SEND if reply.strip().lower() in {"y", "yes"} else Answer.WITHDRAW


def _told(error: OaChatError) -> dict[str, str]:
    return {"message": error.message, "hint": error.hint}


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
