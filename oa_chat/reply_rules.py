"""How replies are judged: the mode, what counts as a flag on a reply, and what is done about it.

Pure. A guard that was trained on users' messages sees "stealing is wrong" and thinks of stealing,
so a flag on a reply acts only from a level on and, where the guard gives probabilities, only if it
is sure. Other flags are noted beside the reply. Nothing here runs a guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oa_chat.policy import Action, Policy, decide
from oa_chat.verdict import Severity, Verdict

GENERAL_RULE = "A reply should help, and not encourage anybody to hurt themselves or others."
"""The guideline of the second try where the guard named no rule."""


SURE_OF_REPLIES = {"classifier": 0.88, "open-assistant": 0.88}
"""By family: how sure a guard that was trained on users' messages has to be of a flag on a reply.

Measured with the embedded guard (`python -m benchmarks replies`)."""
SURE_ANYWAY = 0.5
"""The same for guards that were trained on replies as well."""


class ReplyMode(StrEnum):
    """How replies are checked while they stream."""

    STRICT = "strict"
    """Text is held back until the part before it has passed. No verdict, no text."""
    BALANCED = "balanced"
    """Text is shown at once and withdrawn on a flag. Without a verdict it is marked."""
    NOTE = "note"
    """Text is shown and stays; what the guard says stands beside it."""
    OFF = "off"
    """Replies are not checked."""


class ReplyAction(StrEnum):
    """What a verdict on a part of a reply means for the reply."""

    PASS = "pass"
    NOTE = "note"
    """Shown, with the flag beside it."""
    WITHDRAW = "withdraw"
    """Taken back, or never shown; the model is asked once more."""
    UNJUDGED = "unjudged"
    """There is no verdict: strict ends the reply here, other modes mark it."""


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """The settings for replies."""

    mode: ReplyMode | None = None
    """None is what the policy says, else balanced."""
    act_from: Severity = Severity.CAUTION
    """The lowest level that acts."""
    certainty: float = 0.88
    """Least probability, 0 to 1, of `act_from` or worse, where the guard gives probabilities.
    A part, which is read without what follows, needs half of that doubt: 0.94 at 0.88."""

    def mode_under(self, policy: Policy) -> ReplyMode:
        """The mode that is in force under a policy."""
        return self.mode or ReplyMode(policy.replies or ReplyMode.BALANCED)


def decide_reply(
    verdict: Verdict, policy: Policy, rules: ReplyRules, mode: ReplyMode, *, whole: bool
) -> ReplyAction:
    """What a verdict on a reply, or on a part of one, means. No severity is never a pass.

    A level that the policy lets pass in messages is only noted in replies.
    """
    if verdict.severity is None:
        return ReplyAction.UNJUDGED
    if verdict.severity is Severity.CASUAL:
        # "Casual" about a text that the guard cannot read says little: it is marked.
        return ReplyAction.PASS if verdict.language_known else ReplyAction.NOTE
    lets_pass = decide(verdict, policy).action is Action.PASS
    if mode is ReplyMode.NOTE or verdict.severity < rules.act_from or lets_pass:
        return ReplyAction.NOTE
    if verdict.probabilities is not None:
        share = sum(verdict.probabilities[rules.act_from :])
        if share < (rules.certainty if whole else (1 + rules.certainty) / 2):
            return ReplyAction.NOTE
    return ReplyAction.WITHDRAW
