"""What a verdict looks like outside the screen: as a JSON object, and as lines of text."""

from __future__ import annotations

from typing import Any

from oa_chat.policy import Action, Decision
from oa_chat.printable import printable
from oa_chat.verdict import LABELS, Severity, Verdict

SYMBOLS = {
    None: "?",
    Severity.CASUAL: "○",
    Severity.POSSIBLY: "◔",
    Severity.PROBABLY: "◑",
    Severity.CAUTION: "◕",
    Severity.INTERVENTION: "●",
}
"""One symbol a level: fuller is more severe. None is a guard without a verdict."""

ACTIONS = {
    Action.PASS: "sent as typed",
    Action.NUDGE: "sent with the rule as a guideline",
    Action.CONFIRM: "you are asked first",
    Action.BLOCK: "not sent",
    Action.HOLD: "waits: the guard gave no verdict",
}
"""What an action means, in words for people."""


def verdict_fields(verdict: Verdict, decision: Decision) -> dict[str, Any]:
    """The fields of a verdict in JSON output. `label` and `severity` are null if unreadable."""
    by_label = None
    if verdict.probabilities is not None:
        rounded = (round(probability, 4) for probability in verdict.probabilities)
        by_label = dict(zip(LABELS, rounded, strict=True))
    fields: dict[str, Any] = {
        "label": None if verdict.severity is None else verdict.severity.label,
        "severity": None if verdict.severity is None else int(verdict.severity),
        "probabilities": by_label,
        "rule": verdict.rule,
        "categories": list(verdict.categories),
        "action": decision.action.value,
        "guard": verdict.guard,
        "latency_ms": round(verdict.latency_ms, 3),
    }
    if verdict.failure:
        fields["failure"] = verdict.failure
    return fields


def verdict_lines(verdict: Verdict, decision: Decision) -> list[str]:
    """A verdict in two or three lines, fit for a terminal and for a screen reader."""
    symbol = SYMBOLS[verdict.severity]
    if verdict.severity is None:
        head = f"{symbol} no verdict: {printable(verdict.failure)}"
    else:
        sure = f" ({verdict.certainty:.0%})" if verdict.certainty is not None else ""
        head = f"{symbol} {verdict.severity.words}{sure}"
    lines = [f"Flag: {head}"]
    if verdict.rule:
        lines.append(f"Rule: {printable(verdict.rule)}")
    lines.append(f"Action: {ACTIONS[decision.action]}")
    return lines
