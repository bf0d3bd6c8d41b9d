"""What is done about a verdict, and the guideline that nudges the reply.

`decide` and `decide_message` are pure: the same verdict, text and policy give the same decision.
Nothing here asks a user, sends anything, stores anything or reads a file (`oa_chat.policies` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from oa_chat.imitation import defuse
from oa_chat.phrases import Phrases
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
"""What a policy may choose, weakest first. HOLD is not a choice: it is what failure means."""

DEFAULT_PROFILE = "balanced"

HELP_TOPICS: Mapping[str, str] = {
    "self_harm": "crisis",
    "eating": "crisis",
    "medical": "crisis",
    "substances": "crisis",
    "violence": "crisis",
    "abuse": "abuse",
    "dating": "abuse",
    "family": "abuse",
    "harassment": "abuse",
    "sexual": "abuse",
    "minors": "children",
    "school": "children",
}
"""Categories for which there are lines to call, with the topic of those lines."""
_UNSAID = frozenset({"other", "general"})
"""Names that do not say what a message is about: then help is shown rather than not."""

LANGUAGE_RULE = (
    "Take care not to help with harm: the check of this message does not know its language."
)
"""Sent as the guideline where the policy nudges for the language alone."""


def stronger(one: Action, other: Action) -> Action:
    """The one that lets less through."""
    order = (*LEVEL_ACTIONS, Action.HOLD)
    return max(one, other, key=order.index)


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """What a policy does about one category."""

    action: Action | None
    """None is "help": as the level says, but at least a nudge, and help lines are shown."""
    minimum: Severity = Severity.POSSIBLY
    """From which level on. Below needs intervention an action may be weaker than the level's; at
    needs intervention only if this minimum is that very level."""
    rule: str = ""
    """Sent as the guideline in place of the verdict's rule; empty keeps that."""


@dataclass(frozen=True, slots=True)
class Languages:
    """What happens to languages that the guard does not know."""

    known: tuple[str, ...] | None = None
    """ISO 639-1 codes; None is what the guard itself says."""
    unknown: Action = Action.NUDGE
    """At least this. PASS is never silent: the decision carries a mark."""
    rule: str = ""
    """The guideline for a nudge that is for the language alone; empty is `LANGUAGE_RULE`."""


_NONE = Phrases()


@dataclass(frozen=True, slots=True)
class Policy:
    """A table from severity to action, and what differs from it."""

    name: str
    actions: tuple[Action, Action, Action, Action, Action]
    """By severity, from casual to needs intervention."""
    description: str = ""
    categories: Mapping[str, CategoryRule] = field(default_factory=dict)
    allow: Phrases = _NONE
    """A message with one of these goes as typed, except at needs intervention."""
    deny: Phrases = _NONE
    """A message with one of these is not sent, whatever the guard says."""
    languages: Languages = Languages()
    replies: str = ""
    """How replies are checked: `[replies] mode`; empty leaves it to the settings."""
    chosen_by: str = ""
    """The name or path by which it was found; stays when levels are changed."""

    def with_overrides(self, overrides: Mapping[Severity, Action]) -> Policy:
        """The same policy with some levels changed."""
        if not overrides:
            return self
        changed = [overrides.get(level, self.actions[level]) for level in Severity]
        name = f"{self.name} (changed)"
        return replace(self, name=name, actions=(*changed,))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says about one verdict."""

    action: Action
    guideline: str
    """The rule to send along, or an empty string."""
    reason: str
    """What decided, in a few words for the panel: policy, and level, category, phrase or language.
    Holds text of users and files."""
    show_help: bool
    """Whether to show where a person can get help."""
    mark: str = ""
    """What has to be shown beside a message that goes although its language is not known."""
    phrase: str = ""
    """The phrase of the policy that decided, as it stands in the file."""

    @property
    def silent(self) -> bool:
        """Whether nothing need be shown: the message goes as typed, and nothing is to be marked."""
        return self.action is Action.PASS and not (self.mark or self.show_help)


def decide(verdict: Verdict, policy: Policy) -> Decision:
    """The decision for a verdict. A verdict without a severity is always held."""
    return decide_message("", verdict, policy)


def decide_message(text: str, verdict: Verdict, policy: Policy) -> Decision:
    """The decision for a message and its verdict: level, category, then phrases, then language.

    An allowed phrase never counts where the verdict is unreadable or needs intervention; a denied
    one counts even if the guard says casual; a language that the guard does not know is never
    passed without a mark.
    """
    if verdict.severity is None:
        # Where one of several guards saw an emergency, the others' failure must not hide the help.
        urgent = any(stage.severity is Severity.INTERVENTION for stage in verdict.stages)
        return Decision(Action.HOLD, "", verdict.failure or "the guard gave no verdict", urgent)
    decision = _by_category(verdict, verdict.severity, policy)
    decision = _heed_phrases(decision, text, verdict.severity, policy)
    decision = _heed_language(decision, verdict, policy)
    return replace(decision, reason=f"{policy.name} policy: {decision.reason}")


def _by_category(verdict: Verdict, severity: Severity, policy: Policy) -> Decision:
    """Each category gets its action, one without an entry the level's; the strongest counts."""
    entries = [
        (name, rule if rule and severity >= rule.minimum else None)
        for name in verdict.categories or ("",)
        for rule in [policy.categories.get(name)]
    ]
    choices = [_category_choice(name, rule, verdict, policy) for name, rule in entries]
    order = (*LEVEL_ACTIONS, Action.HOLD)
    best = max(choices, key=lambda choice: (order.index(choice.action), "about" in choice.reason))
    about = {*verdict.categories} - _UNSAID
    about_help = not about or not HELP_TOPICS.keys().isdisjoint(about)
    asked = any(rule is not None and rule.action is None for _, rule in entries)
    help_wanted = asked or (severity is Severity.INTERVENTION and about_help)
    return replace(best, show_help=help_wanted)


def _category_choice(
    name: str, rule: CategoryRule | None, verdict: Verdict, policy: Policy
) -> Decision:
    severity = verdict.severity
    assert severity is not None
    level = policy.actions[severity]
    if rule is None:
        return _decision(level, verdict.rule, severity.words)
    if rule.action is None:
        action = stronger(level, Action.NUDGE)
    elif severity is Severity.INTERVENTION and rule.minimum is not Severity.INTERVENTION:
        action = stronger(level, rule.action)
    else:
        action = rule.action
    reason = f"{severity.words}, about {name.replace('_', ' ')}"
    return _decision(action, rule.rule or verdict.rule, reason)


def _decision(action: Action, rule: str, reason: str) -> Decision:
    sent_along = rule if action in (Action.NUDGE, Action.CONFIRM) else ""
    return Decision(action, sent_along, reason, show_help=False)


def _heed_phrases(decision: Decision, text: str, severity: Severity, policy: Policy) -> Decision:
    if denied := policy.deny.first_in(text):
        reason = f"the phrase “{denied}” is not sent"
        blocked = replace(decision, action=Action.BLOCK, guideline="", reason=reason)
        return replace(blocked, phrase=denied)
    if severity is Severity.INTERVENTION or decision.action is Action.PASS:
        return decision
    if allowed := policy.allow.first_in(text):
        reason = f"{severity.words}, but the phrase “{allowed}” is allowed"
        passed = replace(decision, action=Action.PASS, guideline="", reason=reason)
        return replace(passed, phrase=allowed)
    return decision


def _heed_language(decision: Decision, verdict: Verdict, policy: Policy) -> Decision:
    """At least what the policy says for a language that the guard does not know.

    A reply keeps its action, with the mark: nobody is there to be nudged.
    """
    if _is_known(verdict, policy.languages):
        return decision
    named = f" ({verdict.language})" if verdict.language else ""
    mark = f"the guard does not know its language{named}"
    action = stronger(decision.action, policy.languages.unknown)
    if action is decision.action or verdict.subject == "reply":
        return replace(decision, mark=mark, reason=f"{decision.reason}; {mark}")
    rule = decision.guideline or verdict.rule or policy.languages.rule or LANGUAGE_RULE
    guideline = rule if action in (Action.NUDGE, Action.CONFIRM) else ""
    return replace(decision, action=action, guideline=guideline, reason=mark, mark=mark)


def _is_known(verdict: Verdict, languages: Languages) -> bool:
    if languages.known is None or not verdict.language:
        return verdict.language_known
    return verdict.language in languages.known


_ROUND = str.maketrans("[]［］", "()()")


def compose_sent(typed: str, guideline: str) -> str:
    """The user's turn as it is sent: the typed text, defused, and the guideline if there is one.

    The format is fixed by the design: ``<user text>\\n\\n[Guideline: <rule>]``.
    """
    text = defuse(typed)
    rule = one_rule(guideline)
    return f"{text}\n\n[Guideline: {rule}]" if rule else text


def guideline_of(sent: str, typed: str) -> str:
    """The rule at the end of a user's turn as it was sent; empty if there is none.

    It is known by its place behind the typed text, never searched for: a user can type what looks
    like one.
    """
    start = f"{defuse(typed)}\n\n[Guideline: "
    return sent[len(start) : -1] if sent.startswith(start) and sent.endswith("]") else ""


def one_rule(guideline: str) -> str:
    """A rule as it is sent: one line without square brackets, since a model may have written it."""
    return " ".join(guideline.translate(_ROUND).split())
