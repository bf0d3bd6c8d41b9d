"""What is wrong or odd about a policy that can be read: contradictions, models that are missing.

An error is a policy that cannot do what it says; a warning is one that may not do what is meant.
Nothing here starts a model: of model files the headers are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from oa_chat import catalog
from oa_chat.engine.gguf_header import require_kind
from oa_chat.errors import OaChatError
from oa_chat.guards.registry import identify
from oa_chat.phrases import Phrases, fold
from oa_chat.policies.applying import model_beside
from oa_chat.policies.file import Profile
from oa_chat.policy import HELP_TOPICS, LEVEL_ACTIONS, Action, CategoryRule, stronger
from oa_chat.verdict import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found."""

    grade: Literal["error", "warning"]
    where: str
    """File, line and key."""
    message: str
    """What is wrong, and what to do. Holds text of the file."""


def findings(profile: Profile) -> list[Finding]:
    """Everything that a check finds, in the order of the file's parts; errors are not first."""
    checks = (_levels, _categories, _phrases, _guard, _persona)
    return [finding for check in checks for finding in check(profile)]


def _levels(profile: Profile) -> Iterator[Finding]:
    actions = profile.policy.actions
    for level in list(Severity)[1:]:
        below = Severity(level - 1)
        if stronger(actions[level], actions[below]) is not actions[level]:
            yield _warning(
                profile,
                f"{actions[level]} is weaker than {actions[below]}, which {_name(below)} gets.",
                "levels",
                _name(level),
            )
    if actions[Severity.INTERVENTION] is Action.PASS:
        yield _warning(
            profile,
            "messages that need intervention go as typed. Help lines are still shown.",
            "levels",
            "needs_intervention",
        )


def _categories(profile: Profile) -> Iterator[Finding]:
    for name, rule in profile.policy.categories.items():
        keys = ("categories", name)
        if rule.action is None and name not in HELP_TOPICS:
            yield _warning(
                profile,
                f"there are no help lines about {name}; the general ones are shown."
                f" There are some about {', '.join(sorted(HELP_TOPICS))}.",
                *keys,
                "action",
            )
        if rule.rule and rule.action in (Action.PASS, Action.BLOCK):
            yield _warning(
                profile, f"it is never sent: the action is {rule.action}.", *keys, "rule"
            )
        yield from _weakened(profile, name, rule)


def _weakened(profile: Profile, name: str, rule: CategoryRule) -> Iterator[Finding]:
    """An action that is weaker than the levels' own, or would be if it counted."""
    action = rule.action
    if action is None:
        return
    order = LEVEL_ACTIONS.index
    levels = [level for level in Severity if level >= rule.minimum]
    softened = [level for level in levels if order(action) < order(profile.policy.actions[level])]
    if Severity.INTERVENTION in softened and rule.minimum is not Severity.INTERVENTION:
        softened.remove(Severity.INTERVENTION)
        yield _warning(
            profile,
            f"{action} does not count at needs_intervention, where the level's own action is"
            ' stronger. Say minimum = "needs_intervention" to mean that level.',
            "categories",
            name,
            "action",
        )
    if softened:
        named = ", ".join(_name(level) for level in softened)
        yield _warning(
            profile,
            f"{action} is weaker than what {named} gets without it.",
            "categories",
            name,
            "action",
        )


def _phrases(profile: Profile) -> Iterator[Finding]:
    denied = {fold(phrase): phrase for phrase in profile.file.phrases.deny}
    for phrase in profile.file.phrases.allow:
        if fold(phrase) in denied:
            yield _error(
                profile,
                f"the phrase “{phrase}” is allowed and denied. Take it out of one of the lists.",
                "phrases",
                "allow",
            )
        elif inside := Phrases(tuple(denied.values())).first_in(phrase):
            yield _warning(
                profile,
                f"the phrase “{phrase}” is never allowed: “{inside}” in it is denied.",
                "phrases",
                "allow",
            )


def _guard(profile: Profile) -> Iterator[Finding]:
    named = (("judge", profile.file.guard.judge), ("second", profile.file.guard.second))
    for key, guard in named:
        try:
            if guard:
                identify(catalog.path_of(model_beside(profile, guard)))
        except OaChatError as error:
            yield _error(profile, f"{error.message} {error.hint}".strip(), "guard", key)


def _persona(profile: Profile) -> Iterator[Finding]:
    model = profile.file.persona.model
    if model:
        try:
            require_kind(catalog.path_of(model_beside(profile, model)), "causal", "chat model")
        except OaChatError as error:
            yield _error(profile, f"{error.message} {error.hint}".strip(), "persona", "model")


def _name(level: Severity) -> str:
    return level.label.strip("_")


def _error(profile: Profile, message: str, *keys: str) -> Finding:
    return Finding("error", f"{profile.line(*keys)}: {'.'.join(keys)}", message)


def _warning(profile: Profile, message: str, *keys: str) -> Finding:
    return Finding("warning", f"{profile.line(*keys)}: {'.'.join(keys)}", message)
