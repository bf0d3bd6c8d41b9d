"""A whole conversation under the guardrail: which messages may go to a model, and in what words.

A client sends its history with every request, and anything may stand in it. So each user message is
judged, not only the last one: the queue remembers earlier verdicts, which makes a conversation that
goes on as cheap as in the app. As there, a nudged turn carries its guideline, and a turn that was
kept back is left out together with its answer. Nothing here talks to a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.imitation import defuse
from oa_chat.policy import Action, Decision, Policy, compose_sent, decide_message
from oa_chat.serving.check_queue import CheckQueue
from oa_chat.verdict import Verdict

_SENT = (Action.PASS, Action.NUDGE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is done about a conversation."""

    verdict: Verdict
    decision: Decision
    typed: tuple[Message, ...]
    """What was judged: user and assistant in turn, without guidelines."""
    transcript: tuple[Message, ...]
    """What goes to the model; empty if nothing does."""
    left_out: int = 0
    """Earlier user messages that the policy keeps back."""

    @property
    def refused(self) -> bool:
        """Whether the model gets nothing. Only a pass and a nudge are not a refusal."""
        return self.decision.action not in _SENT


class Judge:
    """The guard and the policy, for conversations."""

    def __init__(self, checks: CheckQueue, policy: Policy) -> None:
        self._checks = checks
        self._policy = policy

    async def judge(self, messages: Sequence[Message]) -> Judgement:
        """The judgement of a conversation that ends with the user's message.

        The newest message is always judged anew. Raises HttpRefusal if the queue is full.
        """
        spoken = [message for message in messages if message.role != "system"]
        verdicts = await self._verdicts(spoken)
        newest = verdicts[len(spoken) - 1]
        unread = [verdict for verdict in verdicts.values() if not verdict.readable]
        if newest.readable and unread:
            newest = unread[0]
        decision = decide_message(spoken[-1].text, newest, self._policy)
        if decision.action not in _SENT:
            return Judgement(newest, decision, tuple(spoken), ())
        decisions = {
            at: decide_message(spoken[at].text, verdict, self._policy)
            for at, verdict in verdicts.items()
        }
        system = [message for message in messages if message.role == "system"]
        head = [Message("system", defuse(message.text)) for message in system]
        transcript = (*head, *_transcript(spoken, decisions))
        kept_back = sum(one.action not in _SENT for one in decisions.values())
        return Judgement(newest, decision, tuple(spoken), transcript, kept_back)

    async def _verdicts(self, spoken: Sequence[Message]) -> dict[int, Verdict]:
        """The verdict on each user message, by its place."""
        places = range(0, len(spoken), 2)
        conversations = [spoken[: at + 1] for at in places]
        verdicts = await self._checks.check_all(conversations, recall=len(conversations) - 1)
        return dict(zip(places, verdicts, strict=True))


def _transcript(spoken: Sequence[Message], decisions: dict[int, Decision]) -> list[Message]:
    sent: list[Message] = []
    for at, decision in decisions.items():
        if decision.action in _SENT:
            sent.append(Message("user", compose_sent(spoken[at].text, decision.guideline)))
            sent += [Message("assistant", defuse(m.text)) for m in spoken[at + 1 : at + 2]]
    return sent
