"""What is done about a verdict, and the guideline that nudges the reply.

`decide` is pure: the same verdict and policy give the same decision. Nothing here asks a user,
sends anything or stores anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from oa_chat.imitation import defuse
from oa_chat.verdict import Severity, Verdict


class Action(StrEnum):
    """What happens to a message."""

    PASS = "pass"
    """Sent as typed."""
    NUDGE = "nudge"
    """Sent with the rule as a guideline."""
    CONFIRM = "confirm"
    """The user is asked: send with the guideline, edit, or withdraw."""
    BLOCK = "block"
    """Not sent."""
    HOLD = "hold"
    """The guard gave no verdict: the message waits until the user decides."""


LEVEL_ACTIONS: tuple[Action, ...] = (Action.PASS, Action.NUDGE, Action.CONFIRM, Action.BLOCK)
"""Actions that a policy may choose for a level. HOLD is not a choice: it is what failure means."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A table from severity to action."""

    name: str
    actions: tuple[Action, Action, Action, Action, Action]

    def with_overrides(self, overrides: Mapping[Severity, Action]) -> Policy:
        """The same policy with some levels changed."""
        if not overrides:
            return self
        changed = [overrides.get(level, self.actions[level]) for level in Severity]
        return Policy(f"{self.name} (changed)", (*changed,))  # type: ignore[arg-type]


_P, _N, _C, _B = LEVEL_ACTIONS
PROFILES: dict[str, Policy] = {
    "relaxed": Policy("relaxed", (_P, _P, _P, _N, _N)),
    "balanced": Policy("balanced", (_P, _N, _N, _N, _N)),
    "strict": Policy("strict", (_P, _N, _C, _C, _B)),
}
"""The shipped profiles, by severity from casual to needs intervention."""

DEFAULT_PROFILE = "balanced"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says about one verdict."""

    action: Action
    guideline: str
    """The rule to send along, or an empty string."""
    reason: str
    """One short sentence for the panel."""
    show_help: bool
    """Whether to show where a person can get help."""


def decide(verdict: Verdict, policy: Policy) -> Decision:
    """The decision for a verdict. A verdict without a severity is always held."""
    if verdict.severity is None:
        return Decision(Action.HOLD, "", verdict.failure or "the guard gave no verdict", False)
    action = policy.actions[verdict.severity]
    guideline = verdict.rule if action in (Action.NUDGE, Action.CONFIRM) else ""
    reason = f"{policy.name} policy: {verdict.severity.words}"
    return Decision(action, guideline, reason, verdict.severity is Severity.INTERVENTION)


_ROUND = str.maketrans("[]［］", "()()")


def compose_sent(typed: str, guideline: str) -> str:
    """The user's turn as it is sent: the typed text, defused, and the guideline if there is one.

    The format is fixed by the design: ``<user text>\\n\\n[Guideline: <rule>]``.
    """
    text = defuse(typed)
    rule = one_rule(guideline)
    return f"{text}\n\n[Guideline: {rule}]" if rule else text


def one_rule(guideline: str) -> str:
    """A rule as it is sent: one line without square brackets, since a model may have written it."""
    return " ".join(guideline.translate(_ROUND).split())
