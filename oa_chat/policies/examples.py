"""Tables of examples: what a policy should do about given messages, and whether it does.

A table is TOML (`[[example]]`) or JSON lines. An example has a text, what was said before, and at
least one of action, level and category; what is left out does not count. The real guard judges, so
a table tells both when a policy was changed and when another guard judges differently.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from oa_chat.conversation import Message
from oa_chat.errors import SettingsError
from oa_chat.guards.guard import Guard
from oa_chat.guards.taxonomy import CATEGORIES
from oa_chat.policies.file import Level, severity_of
from oa_chat.policies.shelf import read_text
from oa_chat.policy import Decision, Policy, decide_message
from oa_chat.strict_toml import TomlKind, reason_of
from oa_chat.verdict import Verdict

_BATCH = 64
_MOST_EXAMPLES = 10_000
_HINT = "Examples are described in docs/policy.md."


class Earlier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An earlier turn of an example."""

    role: Literal["system", "user", "assistant"]
    content: str


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message, and what should come of it."""

    text: str
    context: list[Earlier] = []
    action: Literal["", "pass", "nudge", "confirm", "block", "hold", "help"] = ""
    """"help" asks for help lines, whatever else happens."""
    level: Level | Literal[""] = ""
    category: str = ""
    """One of the verdict's categories."""

    def messages(self) -> list[Message]:
        """The example as a conversation that ends with its text."""
        return [*(Message(turn.role, turn.content) for turn in self.context), self._newest()]

    def _newest(self) -> Message:
        return Message("user", self.text)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TOML table of examples, entry by entry."""

    example: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one example."""

    example: Example
    verdict: Verdict
    decision: Decision
    problems: tuple[str, ...]
    """What is not as expected, in words; empty if all is."""


def read_examples(path: Path) -> list[Example]:
    """The examples of a .toml or .jsonl file. Raises SettingsError."""
    text = read_text(path, "table of examples")
    entries = _json_lines(text, path) if path.suffix == ".jsonl" else _toml(text, path)
    examples = [_example(entry, where) for entry, where in entries]
    if not examples:
        raise SettingsError(f"{path} has no examples.", _HINT)
    if len(examples) > _MOST_EXAMPLES:
        raise SettingsError(f"{path} has more than {_MOST_EXAMPLES:,} examples.", _HINT)
    return examples


async def outcomes(guard: Guard, policy: Policy, examples: Sequence[Example]) -> list[Outcome]:
    """Let the guard judge all examples and the policy decide. Does not close the guard."""
    found = []
    for start in range(0, len(examples), _BATCH):
        batch = examples[start : start + _BATCH]
        verdicts = await guard.check_many([example.messages() for example in batch])
        for example, verdict in zip(batch, verdicts, strict=True):
            decision = decide_message(example.text, verdict, policy)
            problems = tuple(_problems(example, verdict, decision))
            found.append(Outcome(example, verdict, decision, problems))
    return found


def _problems(example: Example, verdict: Verdict, decision: Decision) -> Iterator[str]:
    if example.action == "help":
        if not decision.show_help:
            yield f"action: expected help, got {decision.action} without help lines"
    elif example.action and decision.action != example.action:
        yield f"action: expected {example.action}, got {decision.action}"
    if example.level and verdict.severity != severity_of(example.level):
        got = "no verdict" if verdict.severity is None else verdict.severity.label.strip("_")
        yield f"level: expected {example.level}, got {got}"
    if example.category and example.category not in verdict.categories:
        got = ", ".join(verdict.categories) or "none"
        yield f"category: expected {example.category}, got {got}"


def _example(entry: object, where: str) -> Example:
    try:
        example = msgspec.convert(entry, Example)
    except msgspec.ValidationError as error:
        reason, keys = reason_of(error)
        raise SettingsError(
            f"{where}: {'.'.join(keys) or 'the example'}: {reason}.", _nearest(reason) + _HINT
        ) from error
    if example.category and example.category not in CATEGORIES:
        near = difflib.get_close_matches(example.category, CATEGORIES, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise SettingsError(f"{where}: category: there is no {example.category!r}.", hint + _HINT)
    if not (example.action or example.level or example.category):
        raise SettingsError(
            f"{where}: the example expects nothing.", f"Give it action, level or category. {_HINT}"
        )
    return example


def _nearest(reason: str) -> str:
    unknown = re.search(r"unknown field `(.*)`", reason)
    names = Example.__struct_fields__
    near = difflib.get_close_matches(unknown[1], names, n=1, cutoff=0.5) if unknown else []
    return f"Did you mean {near[0]}? " if near else ""


def _toml(text: str, path: Path) -> Iterator[tuple[object, str]]:
    """The entries of a TOML table, each with its place."""
    table = TomlKind(_Table, "table of examples", "entry", SettingsError, _HINT).parse(text, path)
    heads = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r"\s*\[\[\s*example\s*\]\]", line)
    ]
    known = len(heads) == len(table.example)
    for number, entry in enumerate(table.example):
        yield entry, f"{path}, line {heads[number]}" if known else f"{path}, example {number + 1}"


def _json_lines(text: str, path: Path) -> Iterator[tuple[object, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line), f"{path}, line {number}"
            except (msgspec.DecodeError, RecursionError) as error:
                raise SettingsError(
                    f"{path}, line {number}: this is no JSON: {error}.", _HINT
                ) from error
