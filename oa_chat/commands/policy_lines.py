"""What `oa-chat policy` prints: lines for people, fields for programs."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import Any

from oa_chat.commands.report import verdict_fields
from oa_chat.policies.checks import Finding
from oa_chat.policies.examples import Outcome
from oa_chat.policies.file import Profile
from oa_chat.policies.shelf import SHIPPED, Shelf
from oa_chat.policy import Action, CategoryRule, Policy
from oa_chat.printable import printable
from oa_chat.verdict import Severity
from oa_chat.wording import SYMBOLS

_TEXT = 60


def list_lines(shelf: Shelf) -> list[str]:
    """The policies within reach, and where the user's own lie."""
    own = ", ".join(printable(name) for name in shelf.own_names()) or "none"
    return [
        f"Shipped: {', '.join(SHIPPED)}",
        f"Your own: {own} (in {printable(str(shelf.folder))})",
        "",
    ]


def policy_lines(profile: Profile, policy: Policy, help_lines: Sequence[str]) -> list[str]:
    """A policy, part by part. What it does not say is left out."""
    about = [policy.description] if policy.description else []
    lines = [f"{policy.name} ({profile.path})", *about, "", "Levels"]
    lines += [
        f"  {SYMBOLS[level]} {level.words:<24}{policy.actions[level].value}" for level in Severity
    ]
    if policy.categories:
        lines += ["", "Categories"]
        lines += [_category_line(name, rule) for name, rule in sorted(policy.categories.items())]
    for title, phrases in (("Allowed phrases", policy.allow), ("Denied phrases", policy.deny)):
        if phrases.written:
            lines += ["", title, *(f"  “{phrase}”" for phrase in phrases.written)]
    lines += ["", "Languages", *_language_lines(policy)]
    lines += _other_lines(profile)
    lines += ["", "Help", *(indent(line, "  ") for line in help_lines)]
    return [printable(line) for line in lines]


def _category_line(name: str, rule: CategoryRule) -> str:
    said = f"  {name.replace('_', ' '):<26}{_action_word(rule)}, from {rule.minimum.words} on"
    return f"{said}\n    rule: {rule.rule}" if rule.rule else said


def _action_word(rule: CategoryRule) -> str:
    return "help" if rule.action is None else rule.action.value


def _language_lines(policy: Policy) -> list[str]:
    known = policy.languages.known
    names = "as the guard says" if known is None else ", ".join(known) or "none"
    return [f"  known: {names}", f"  others: {_unknown_word(policy)}"]


def _unknown_word(policy: Policy) -> str:
    unknown = policy.languages.unknown
    return "pass-with-mark" if unknown is Action.PASS else unknown.value


def _other_lines(profile: Profile) -> list[str]:
    file = profile.file
    named = (
        ("guard", file.guard.judge),
        ("second guard", f"{file.guard.second}, when {file.guard.when}" * bool(file.guard.second)),
        ("model", file.persona.model),
        ("system prompt", " ".join(file.persona.system_prompt.split())[:200]),
        ("replies", file.replies.mode),
    )
    said = [f"  {name}: {value}" for name, value in named if value]
    return ["", "Where your settings do not say", *said] if said else []


def policy_fields(profile: Profile, policy: Policy) -> dict[str, Any]:
    """The fields of ``show --json``, by the names of the policy file."""
    categories = {
        name: {
            "action": _action_word(rule),
            "minimum": rule.minimum.label.strip("_"),
            "rule": rule.rule,
        }
        for name, rule in policy.categories.items()
    }
    return {
        "name": policy.name,
        "file": str(profile.path),
        "description": policy.description,
        "levels": {level.label.strip("_"): policy.actions[level].value for level in Severity},
        "categories": categories,
        "phrases": {"allow": list(policy.allow.written), "deny": list(policy.deny.written)},
        "languages": {
            "known": policy.languages.known or "from guard",
            "unknown": _unknown_word(policy),
        },
        "guard": {"judge": profile.file.guard.judge, "second": profile.file.guard.second},
        "replies": profile.file.replies.mode,
    }


def finding_lines(found: Sequence[Finding]) -> list[str]:
    """What a check found, a line each, and how much it was."""
    lines = [f"{finding.grade}: {finding.where}: {finding.message}" for finding in found]
    errors = sum(finding.grade == "error" for finding in found)
    warnings = len(found) - errors
    if not found:
        return ["Nothing is wrong with it."]
    return [*map(printable, lines), f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"]


def outcome_lines(found: Sequence[Outcome]) -> list[str]:
    """A line for each example, with what went otherwise below it, and how many passed."""
    lines = []
    for outcome in found:
        severity = outcome.verdict.severity
        level = "no verdict" if severity is None else severity.words
        word = "fail" if outcome.problems else "pass"
        action = outcome.decision.action.value
        lines.append(f"{word}  {action:<8} {level:<23} {_shortened(outcome.example.text)}")
        lines += [f"        {problem}" for problem in outcome.problems]
        if outcome.problems:
            lines.append(f"        because: {outcome.decision.reason}")
    failed = sum(bool(outcome.problems) for outcome in found)
    total = f"{len(found) - failed} of {_count(len(found), 'example')} as expected"
    return [*map(printable, lines), total]


def outcome_fields(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes of ``test --json``."""
    return [
        {
            "text": outcome.example.text,
            "passed": not outcome.problems,
            "problems": list(outcome.problems),
            "help": outcome.decision.show_help,
            **verdict_fields(outcome.verdict, outcome.decision),
        }
        for outcome in found
    ]


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"
