"""What a verdict looks like outside the screen: as a JSON object, and as lines of text."""

from __future__ import annotations

from typing import Any

from oa_chat.policy import Decision
from oa_chat.printable import printable
from oa_chat.verdict import LABELS, Stage, Verdict
from oa_chat.wording import ACTIONS, certainty_words, language_words, stage_lines, symbol


def verdict_fields(verdict: Verdict, decision: Decision) -> dict[str, Any]:
    """The fields of a verdict on a message in JSON output, with what was decided."""
    decided = {"action": decision.action.value, "reason": decision.reason}
    return _fields(verdict, decided | {"guideline": decision.guideline})


def reply_fields(verdict: Verdict) -> dict[str, Any]:
    """The fields of a verdict on a reply in JSON output."""
    return _fields(verdict, {})


def _fields(verdict: Verdict, decided: dict[str, str]) -> dict[str, Any]:
    """`label` and `severity` are null if unreadable."""
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
        **decided,
        "guard": verdict.guard,
        "language": verdict.language or None,
        "language_known": verdict.language_known,
        "latency_ms": round(verdict.latency_ms, 3),
    }
    if verdict.failure:
        fields["failure"] = verdict.failure
    if verdict.stages:
        fields["stages"] = [_stage_fields(stage) for stage in verdict.stages]
    return fields


def _stage_fields(stage: Stage) -> dict[str, Any]:
    """One of several guards: what it said, why it was asked or not, and what it cost."""
    return {
        "guard": stage.guard,
        "asked": stage.asked,
        "why": stage.why,
        "label": None if stage.severity is None else stage.severity.label,
        "certainty": None if stage.certainty is None else round(stage.certainty, 4),
        "latency_ms": round(stage.latency_ms, 3),
        "failure": stage.failure,
        "counts": stage.counts,
    }


def verdict_lines(verdict: Verdict, decision: Decision) -> list[str]:
    """A verdict in a few lines, fit for a terminal and for a screen reader."""
    if verdict.severity is None:
        said = f"no verdict: {printable(verdict.failure)}"
    else:
        certainty = certainty_words(verdict)
        said = verdict.severity.words + (f" ({certainty})" if certainty else "")
    lines = [f"Flag: {symbol(verdict)} {said}"]
    if rule := decision.guideline or verdict.rule:
        lines.append(f"Rule: {printable(rule)}")
    if language := language_words(verdict):
        lines.append(f"Language: {language}")
    lines += [f"Guard: {line}" for line in stage_lines(verdict)]
    lines.append(f"Action: {ACTIONS[decision.action]} ({printable(decision.reason)})")
    return lines
