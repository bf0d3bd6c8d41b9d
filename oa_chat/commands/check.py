"""`oa-chat check`: the guard alone, for texts or for JSON lines.

JSON lines are judged in batches and answered in order. A batch is whatever is waiting, so a
producer that writes line by line gets each answer at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, BinaryIO, Literal

import msgspec

from oa_chat.commands.report import verdict_fields, verdict_lines
from oa_chat.conversation import Message
from oa_chat.guards.guard import Guard
from oa_chat.policy import Policy, decide
from oa_chat.printable import printable
from oa_chat.verdict import Verdict

EXIT_BAD_LINES = 1
EXIT_GUARD = 6
_BATCH = 64
_WAITING_LINES = 1024


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
        print("\n".join(verdict_lines(verdict, decide(verdict, policy))))
    return 0 if all(verdict.readable for verdict in verdicts) else EXIT_GUARD


async def check_jsonl(guard: Guard, policy: Policy, source: BinaryIO) -> int:
    """Judge JSON lines; one line out for each good line in. The exit code."""
    bad = failed = 0
    try:
        await guard.load()
        batches = _batches(source)
        while batch := await asyncio.to_thread(next, batches, None):
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
    return EXIT_BAD_LINES if bad else EXIT_GUARD if failed else 0


def _batches(source: BinaryIO) -> Iterator[list[_Line | _Bad]]:
    """Parsed lines in lists of what is waiting, at most `_BATCH` each. Blank lines are skipped."""
    waiting: Queue[bytes | None] = Queue(_WAITING_LINES)
    threading.Thread(target=_read_lines, args=(source, waiting), daemon=True).start()
    number = 0
    ended = False
    while not ended:
        raw_lines = [waiting.get()]
        while len(raw_lines) < _BATCH and raw_lines[-1] is not None:
            try:
                raw_lines.append(waiting.get_nowait())
            except Empty:
                break
        batch: list[_Line | _Bad] = []
        for raw in raw_lines:
            if raw is None:
                ended = True
                break
            number += 1
            if raw.strip():
                batch.append(_parse(raw, number))
        if batch:
            yield batch


def _read_lines(source: BinaryIO, waiting: Queue[bytes | None]) -> None:
    try:
        for raw in source:
            waiting.put(raw)
    finally:
        waiting.put(None)


_DECODER = msgspec.json.Decoder(_Line)


def _parse(raw: bytes, number: int) -> _Line | _Bad:
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _Bad(number, printable(str(error)))


def _print_json(text: str, verdict: Verdict, policy: Policy) -> None:
    fields: dict[str, Any] = {"text": text, **verdict_fields(verdict, decide(verdict, policy))}
    print(json.dumps(fields))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"
