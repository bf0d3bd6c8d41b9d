"""`oa-chat check`: the guard alone, for texts or for JSON lines.

JSON lines are judged in batches and answered in order. A batch is whatever is waiting, so a
producer that writes line by line gets each answer at once.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from oa_chat.commands.lines import LineReader
from oa_chat.commands.report import verdict_fields, verdict_lines
from oa_chat.conversation import Message
from oa_chat.errors import GuardError
from oa_chat.guards.guard import Guard
from oa_chat.policy import Policy, decide_message
from oa_chat.printable import printable
from oa_chat.verdict import Verdict

EXIT_BAD_LINES = 1
_BATCH = 64


class _Context(msgspec.Struct, frozen=True):
    """An earlier turn in a JSON line."""

    role: Literal["system", "user", "assistant"]
    content: str


class _Line(msgspec.Struct, frozen=True):
    """One JSON line: a text and what came before it."""

    text: str
    context: list[_Context] = []

    def messages(self) -> list[Message]:
        """The line as a conversation that ends with the text."""
        earlier = [Message(turn.role, turn.content) for turn in self.context]
        return [*earlier, Message("user", self.text)]


@dataclass(frozen=True, slots=True)
class _Bad:
    """A line that cannot be judged."""

    number: int
    reason: str


async def check_texts(
    guard: Guard, policy: Policy, texts: Sequence[str], *, as_json: bool = False
) -> int:
    """Judge texts and print a few lines (or one JSON object) each; the exit code."""
    try:
        verdicts = await guard.check_many([[Message("user", text)] for text in texts])
    finally:
        await guard.close()
    for number, (text, verdict) in enumerate(zip(texts, verdicts, strict=True)):
        if as_json:
            _print_json(text, verdict, policy)
            continue
        if len(texts) > 1:
            print(("\n" if number else "") + printable(_shortened(text)))
        print("\n".join(verdict_lines(verdict, decide_message(text, verdict, policy))))
    return 0 if all(verdict.readable for verdict in verdicts) else GuardError.exit_code


async def check_jsonl(guard: Guard, policy: Policy) -> int:
    """Judge JSON lines; one line out for each good line in. The exit code."""
    bad = failed = number = 0
    reader = LineReader()
    try:
        await guard.load()
        while raw_lines := await reader.batch(_BATCH):
            if number == 0:
                raw_lines[0] = raw_lines[0].removeprefix(codecs.BOM_UTF8)
            batch = [_parse(raw, number + at) for at, raw in enumerate(raw_lines, 1) if raw.strip()]
            number += len(raw_lines)
            lines = [line for line in batch if isinstance(line, _Line)]
            for line in batch:
                if isinstance(line, _Bad):
                    bad += 1
                    print(f"line {line.number}: {line.reason}", file=sys.stderr)
            verdicts = await guard.check_many([line.messages() for line in lines])
            for line, verdict in zip(lines, verdicts, strict=True):
                failed += not verdict.readable
                _print_json(line.text, verdict, policy)
            sys.stdout.flush()
    finally:
        await guard.close()
    if bad:
        print(f"{bad} {'line' if bad == 1 else 'lines'} could not be read", file=sys.stderr)
    return EXIT_BAD_LINES if bad else GuardError.exit_code if failed else 0


_DECODER = msgspec.json.Decoder(_Line)


def _parse(raw: bytes, number: int) -> _Line | _Bad:
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _Bad(number, printable(str(error)))


def _print_json(text: str, verdict: Verdict, policy: Policy) -> None:
    decision = decide_message(text, verdict, policy)
    print(json.dumps({"text": text, **verdict_fields(verdict, decision)}))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"
