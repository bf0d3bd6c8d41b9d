"""What clients get: bodies in OpenAI's shapes, with a field ``oa_chat`` beside what they expect.

The shapes are those of OpenAI's API reference (the moderation, chat completion and chat completion
chunk objects). Our own field has no room for anything the client did not send or the guard did not
say; the table in docs/serve-guard.md lists it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from oa_chat.guards.taxonomy import LISTS
from oa_chat.policy import Action, Decision, Policy, decide_message, one_rule
from oa_chat.serving.forwarding import Ended, ReplyReport, Usage
from oa_chat.serving.judging import Judgement
from oa_chat.verdict import LABELS, Severity, Stage, Verdict

_ALSO = {
    "eating": "self-harm",
    "extremism": "illicit/violent",
    "fraud": "illicit",
    "hacking": "illicit",
    "substances": "illicit",
}
"""Our categories that OpenAI's published list does not name, but covers."""


def _theirs() -> dict[str, str]:
    """OpenAI's name for each of our categories: the plain one where there are several.

    A guard that says "hate" has not said "hate/threatening".
    """
    found = dict(_ALSO)
    for row in sorted(LISTS["openai-moderation"], key=lambda row: "/" in row.code):
        found.setdefault(row.ours, row.code)
    return found


_CODES = tuple(row.code for row in LISTS["openai-moderation"])
_THEIRS = _theirs()


def verdict_fields(verdict: Verdict, decision: Decision) -> dict[str, Any]:
    """Our field about one judged text."""
    return {
        **_about(verdict),
        "action": decision.action.value,
        "reason": decision.reason,
        "mark": decision.mark,
    }


def _about(verdict: Verdict) -> dict[str, Any]:
    by_level = None
    if verdict.probabilities is not None:
        rounded = (round(probability, 4) for probability in verdict.probabilities)
        by_level = dict(zip(LABELS, rounded, strict=True))
    return {
        "level": None if verdict.severity is None else verdict.severity.label,
        "severity": None if verdict.severity is None else int(verdict.severity),
        "probabilities": by_level,
        "rule": verdict.rule,
        "rule_source": verdict.rule_source,
        "categories": list(verdict.categories),
        "language": verdict.language,
        "guard": verdict.guard,
        "latency_ms": round(verdict.latency_ms, 3),
        "windows": verdict.windows,
        "failure": verdict.failure,
        "stages": [_stage(stage) for stage in verdict.stages],
    }


def _stage(stage: Stage) -> dict[str, Any]:
    """What one of several guards said."""
    return {
        "guard": stage.guard,
        "asked": stage.asked,
        "why": stage.why,
        "level": None if stage.severity is None else stage.severity.label,
        "severity": None if stage.severity is None else int(stage.severity),
        "certainty": None if stage.certainty is None else round(stage.certainty, 4),
        "latency_ms": round(stage.latency_ms, 3),
        "failure": stage.failure,
        "counts": stage.counts,
    }


def moderation(
    texts: Sequence[str], verdicts: Sequence[Verdict], policy: Policy, model: str
) -> dict[str, Any]:
    """The answer to a moderation request."""
    results = [
        _result(verdict, decide_message(text, verdict, policy))
        for text, verdict in zip(texts, verdicts, strict=True)
    ]
    return {"id": f"modr-{secrets.token_hex(12)}", "model": model, "results": results}


def _result(verdict: Verdict, decision: Decision) -> dict[str, Any]:
    """One text: flagged unless the policy would let it pass as it is."""
    flagged = decision.action is not Action.PASS
    named = {_THEIRS[ours] for ours in verdict.categories if ours in _THEIRS}
    score = _flagged_share(verdict)
    return {
        "flagged": flagged,
        "categories": {code: flagged and code in named for code in _CODES},
        "category_scores": {code: score if code in named else 0.0 for code in _CODES},
        "category_applied_input_types": {
            code: ["text"] if code in named else [] for code in _CODES
        },
        "oa_chat": verdict_fields(verdict, decision),
    }


def _flagged_share(verdict: Verdict) -> float:
    """How sure the guard is that the text is not casual; 1.0 where it gives no numbers."""
    if verdict.probabilities is None:
        return 1.0
    return round(1.0 - verdict.probabilities[Severity.CASUAL], 4)


class Completion:
    """One chat completion, whole or in chunks."""

    def __init__(self, model: str, judgement: Judgement, help_lines: Sequence[str]) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = model
        shown = judgement.decision.show_help
        self.ours: dict[str, Any] = {
            **verdict_fields(judgement.verdict, judgement.decision),
            "guideline": one_rule(judgement.decision.guideline),
            "left_out": judgement.left_out,
            "help": list(help_lines) if shown else [],
        }

    def whole(self, text: str, ended: Ended) -> dict[str, Any]:
        """The completion in one piece."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": ended.reason,
        }
        ours = self.ours | {"reply": _reply(ended.report) if ended.report else None}
        body = self._head("chat.completion") | {"choices": [choice], "oa_chat": ours}
        return body | ({"usage": _usage(ended.usage)} if ended.usage else {})

    def first(self) -> dict[str, Any]:
        """The chunk that opens a stream; our field is in this one."""
        delta = {"role": "assistant", "content": "", "refusal": None}
        return self._chunk(delta) | {"oa_chat": self.ours}

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk with new text."""
        return self._chunk({"content": text})

    def last(self, ended: Ended) -> dict[str, Any]:
        """The chunk that says why the reply is over, and what the guard said of it."""
        ours = {"oa_chat": {"reply": _reply(ended.report)}} if ended.report else {}
        return self._chunk({}, ended.reason) | ours

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The chunk that comes at the very end, for those who ask for it."""
        return self._head("chat.completion.chunk") | {"choices": [], "usage": _usage(usage)}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._head("chat.completion.chunk") | {"choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}


def _reply(report: ReplyReport) -> dict[str, Any]:
    """Our field about a reply."""
    return {
        **_about(report.verdict),
        "action": report.action,
        "asked_again": report.again,
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }


_REFUSALS = {
    Action.CONFIRM: "Your message was not sent: the policy asks a person first, and nobody can be"
    " asked here.",
    Action.BLOCK: "Your message was not sent: the policy does not let it through.",
    Action.HOLD: "Your message was not sent: the guard gave no verdict. Please try again.",
}
_REFUSED = "Your message was not sent."


def explanation(judgement: Judgement, help_lines: Sequence[str]) -> str:
    """What stands in place of a reply that was never asked for, in words for a person."""
    decision = judgement.decision
    parts = [_REFUSALS.get(decision.action, _REFUSED)]
    if judgement.verdict.rule:
        parts.append(f"A rule of thumb: {one_rule(judgement.verdict.rule)}")
    if decision.show_help:
        parts.append("\n".join(help_lines))
    return "\n\n".join(parts)
