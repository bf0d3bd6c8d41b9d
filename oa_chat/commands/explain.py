"""`oa-chat check --explain`: where a verdict comes from, for people as tables and as JSON.

Shows the pieces that were judged with their characters and probabilities, the piece that decided,
the rule with the words that it shares with the message and its runners-up, and what each policy
would do. It asks the same guard in the same way as a chat does, and decides nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oa_chat.commands.report import verdict_fields, verdict_lines
from oa_chat.conversation import Message
from oa_chat.errors import GuardError, SettingsError
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.guards.classifier import Classifier
from oa_chat.guards.family import Part, Reading
from oa_chat.guards.guard import Guard, LocalGuard
from oa_chat.guards.stages import StagedGuard
from oa_chat.policies.shelf import Shelf
from oa_chat.policy import Policy, decide_message
from oa_chat.printable import printable
from oa_chat.rulebook import Candidates
from oa_chat.verdict import LABELS, Severity, Verdict
from oa_chat.wording import ACTIONS, LANGUAGES, SYMBOLS, UNREAD_SYMBOL, language_words, percent

_MOST_PARTS = 40
"""Rows of a table for people; a megabyte has thousands of pieces. JSON has all."""
_MOST_RAW = 400
_LOOKS = ("on its own", "in its context", "what is around")
_COLUMNS = ("casual", "possibly", "probably", "caution", "interv.")


@dataclass(frozen=True, slots=True)
class GuardReading:
    """How one guard came to its verdict."""

    guard: LocalGuard
    verdict: Verdict
    reading: Reading | None
    """None if the guard failed."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one text."""

    text: str
    verdict: Verdict
    readings: tuple[GuardReading, ...]
    """Of each guard that was asked, in order."""
    candidates: Candidates | None
    """The rulebook's, for a flagged text."""
    decisive: str
    """The piece of the text that decided."""


def policies_of(shelf: Shelf) -> dict[str, Policy]:
    """All policies within reach by name; one that cannot be read is told and left out."""
    found: dict[str, Policy] = {}
    for name in shelf.names():
        try:
            found[name] = shelf.load(name).policy
        except SettingsError as error:
            print(printable(error.message), file=sys.stderr)
    return found


async def explain_texts(
    guard: Guard,
    rulebook: RulebookAuthor,
    policy: Policy,
    policies: Mapping[str, Policy],
    texts: Sequence[str],
    *,
    as_json: bool = False,
) -> int:
    """Judge texts and print where each verdict comes from; the exit code."""
    readable = True
    try:
        await guard.load()
        for number, text in enumerate(texts):
            explained = await _explain(guard, rulebook, text)
            readable = readable and explained.verdict.readable
            if as_json:
                print(json.dumps(explanation_fields(explained, policy, policies)))
            else:
                lines = explanation_lines(explained, policy, policies)
                print(("\n" if number else "") + "\n".join(lines), flush=True)
    finally:
        await guard.close()
    return 0 if readable else GuardError.exit_code


async def _explain(guard: Guard, rulebook: RulebookAuthor, text: str) -> Explanation:
    messages = [Message("user", text)]
    if isinstance(guard, LocalGuard):
        verdict, reading = await guard.explain(messages)
        readings = [GuardReading(guard, verdict, reading)]
    else:
        verdict = await guard.check(messages)
        readings = [await _reading(one, messages) for one in _asked(guard, verdict)]
    decided = next((one for one in readings if one.verdict.severity == verdict.severity), None)
    place = decided.reading.worst if decided and decided.reading else None
    decisive = text[slice(*place)] if place else text
    candidates = None
    if verdict.severity is not None and verdict.flagged:
        candidates = rulebook.candidates(decisive, verdict.severity, verdict.language)
    return Explanation(text, verdict, tuple(readings), candidates, decisive)


async def _reading(guard: LocalGuard, messages: Sequence[Message]) -> GuardReading:
    return GuardReading(guard, *await guard.explain(messages))


def _asked(guard: Guard, verdict: Verdict) -> list[LocalGuard]:
    """The guards of a stack that were asked for this verdict."""
    if isinstance(guard, LocalGuard):
        return [guard]
    if not isinstance(guard, StagedGuard):
        return []
    asked = [stage.asked for stage in verdict.stages] or [True, False]
    both = zip((guard.first, guard.second), asked, strict=False)
    return [found for one, was in both if was for found in _asked(one, verdict)]


# ---------------------------------------------------------------- for programs


def explanation_fields(
    explained: Explanation, policy: Policy, policies: Mapping[str, Policy]
) -> dict[str, Any]:
    """An explanation as JSON: the fields of `check --json`, and `explanation` beside them."""
    verdict = explained.verdict
    decision = decide_message(explained.text, verdict, policy)
    return {
        "text": explained.text,
        **verdict_fields(verdict, decision),
        "explanation": {
            "decisive": explained.decisive,
            "guards": [_guard_fields(one) for one in explained.readings],
            "rules": _candidate_fields(explained.candidates),
            "rule_source": verdict.rule_source,
            "policies": {name: _decision_fields(explained, one) for name, one in policies.items()},
        },
    }


def _guard_fields(one: GuardReading) -> dict[str, Any]:
    info, reading, family = one.guard.info, one.reading, one.guard.family
    return {
        "guard": one.guard.name,
        "family": family.name,
        "languages": list(one.guard.languages),
        "temperature": info.temperature if info else None,
        "flag_below": family.flag_below if isinstance(family, Classifier) else None,
        "latency_ms": round(one.verdict.latency_ms, 3),
        "raw": reading.raw if reading else "",
        "failure": one.verdict.failure,
        "parts": [_part_fields(part) for part in reading.parts] if reading else [],
        "worst": list(reading.worst) if reading and reading.worst else None,
    }


def _part_fields(part: Part) -> dict[str, Any]:
    return {
        "start": part.start,
        "end": part.end,
        "label": None if part.severity is None else part.severity.label,
        "probabilities": _by_label(part.probabilities),
        "looks": [_by_label(look) for look in part.looks],
        "raw": part.raw,
    }


def _by_label(row: tuple[float, ...] | None) -> dict[str, float] | None:
    return None if row is None else {LABELS[at]: round(share, 4) for at, share in enumerate(row)}


def _candidate_fields(candidates: Candidates | None) -> dict[str, Any] | None:
    if candidates is None:
        return None
    return {
        "threshold": round(candidates.threshold, 3),
        "candidates": [
            {
                "id": one.rule.id,
                "text": one.rule.text,
                "category": one.rule.category,
                "score": round(one.score, 3),
                "words": list(one.words),
            }
            for one in candidates.best
        ],
    }


def _decision_fields(explained: Explanation, policy: Policy) -> dict[str, Any]:
    decision = decide_message(explained.text, explained.verdict, policy)
    return {
        "action": decision.action.value,
        "guideline": decision.guideline,
        "reason": decision.reason,
        "help": decision.show_help,
    }


# ---------------------------------------------------------------- for people


def explanation_lines(
    explained: Explanation, policy: Policy, policies: Mapping[str, Policy]
) -> list[str]:
    """An explanation as lines that a screen reader can follow too."""
    verdict = explained.verdict
    decision = decide_message(explained.text, verdict, policy)
    lines = [_short(explained.text, 100), *verdict_lines(verdict, decision)]
    for one in explained.readings:
        lines += ["", *_guard_lines(explained.text, one)]
    if explained.decisive != explained.text:
        lines += ["", f"What decided: {_short(explained.decisive, 200)}"]
    if explained.candidates is not None:
        lines += ["", *_rule_lines(explained)]
    lines += ["", f"About: {', '.join(verdict.categories) or 'nothing that is named'}"]
    lines += ["", "What each policy would do:"]
    width = max(map(len, policies), default=0)
    for name, other in policies.items():
        said = decide_message(explained.text, verdict, other)
        helped = "; shows where to get help" if said.show_help else ""
        lines.append(
            f"  {name:<{width}}  {ACTIONS[said.action]}{helped} ({printable(said.reason)})"
        )
    return lines


def _guard_lines(text: str, one: GuardReading) -> list[str]:
    info, reading, family = one.guard.info, one.reading, one.guard.family
    lines = [f"How {printable(one.guard.name)} read it: family {family.name}"]
    if info is not None and info.kind == "classifier":
        below = family.flag_below if isinstance(family, Classifier) else 0.0
        rule = f"flagged if casual has less than {percent(below)}" if below else "likeliest level"
        lines[0] += f", temperature {info.temperature:.3g}, {rule}"
    known = ", ".join(LANGUAGES.get(code, code) for code in one.guard.languages)
    said = language_words(one.verdict) or LANGUAGES.get(one.verdict.language, "") or "not sure"
    lines.append(f"Language: {said}. The guard knows: {known or 'it does not say'}.")
    if reading is None:
        return [*lines, f"No answer: {printable(one.verdict.failure)}"]
    if reading.raw:
        lines.append(f"Its answer: {_short(reading.raw, _MOST_RAW)}")
    if reading.failure:
        lines.append(f"No verdict: {printable(reading.failure)}")
    whole = Part(reading.severity, reading.probabilities, 0, len(text))
    parts = reading.parts or (whole,)
    if any(part.probabilities for part in parts):
        lines += _table(parts, reading.worst)
    elif len(parts) > 1:
        lines += [f"  {_place(part)}  {_level(part)}: {_short(part.raw, 60)}" for part in parts]
    return lines


def _table(parts: Sequence[Part], worst: tuple[int, int] | None) -> list[str]:
    """One row a piece, the one that decided marked; the looks behind a mean are below it."""
    head = "".join(f"{name:>10}" for name in _COLUMNS)
    count = "judged whole" if len(parts) == 1 else f"judged in {len(parts):,} pieces"
    lines = [f"The text was {count}:", f"  {'characters':<18}{head}"]
    marked = False
    ranked = sorted(parts, key=lambda part: (-_badness(part), part.start))[:_MOST_PARTS]
    for part in [part for part in parts if part in ranked][:_MOST_PARTS]:
        decides = not marked and (worst is None or (part.start, part.end) == worst)
        decides = decides and part.severity == ranked[0].severity
        marked = marked or decides
        lines.append(f"{'→' if decides else ' '} {_place(part):<18}{_row(part.probabilities)}")
        for name, look in zip(_LOOKS, part.looks, strict=False):
            lines.append(f"    {name:<16}{_row(look)}")
    if len(parts) > _MOST_PARTS:
        lines.append(f"  and {len(parts) - _MOST_PARTS:,} milder ones (--json has all)")
    return lines


def _badness(part: Part) -> float:
    return float(len(Severity)) if part.severity is None else float(part.severity)


def _row(row: tuple[float, ...] | None) -> str:
    return "" if row is None else "".join(f"{percent(share):>10}" for share in row)


def _place(part: Part) -> str:
    return f"{part.start:,} to {part.end:,}"


def _level(part: Part) -> str:
    if part.severity is None:
        return f"{UNREAD_SYMBOL} no verdict"
    return f"{SYMBOLS[part.severity]} {part.severity.words}"


def _rule_lines(explained: Explanation) -> list[str]:
    candidates, verdict = explained.candidates, explained.verdict
    assert candidates is not None
    taken = {
        "model": "The guard wrote the rule itself.",
        "writer": "The rule writer wrote the rule.",
        "general": "No rule fits well enough, so it is the general one of the level.",
    }.get(verdict.rule_source, "")
    threshold = f"The rulebook asks for a score of {candidates.threshold:.1f} here."
    lines = ["Rule: " + " ".join(filter(None, (taken, threshold)))]
    for one in candidates.best:
        sign = "→" if one.rule.text == verdict.rule else " "
        words = ", ".join(printable(word) for word in one.words[:8])
        text = printable(one.rule.text)
        lines.append(f"{sign} {one.score:>5.1f}  {text} ({one.rule.id}) shares: {words}")
    if not candidates.best:
        lines.append("  No rule shares a word with it.")
    return lines


def _short(text: str, length: int) -> str:
    line = " ".join(printable(text[: length * 4]).split())
    return line if len(line) <= length else line[: length - 1] + "…"
