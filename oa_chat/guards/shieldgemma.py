"""The `shieldgemma` family: Google's ShieldGemma 2B, 9B and 27B, which judge one policy at a time.

The prompt is raw text (model card of google/shieldgemma-2b, arXiv 2407.21772): the newest message
or the newest exchange, one of the four trained policies, and whether it violates it. The answer
begins with ``Yes`` or ``No``, and the score is P(Yes) / (P(Yes) + P(No)) there. So a message takes
four questions; the message comes before the policy, so it is read once.

The worst policy's score gives the level: see `grades`. Policies with at least one half are the
categories. "No Dangerous Content" is about harm to oneself and others alike, so it names violence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, by_level
from oa_chat.guards.exchange import exchange
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.grades import POSSIBLY_FROM, UNSAFE_FROM, grade, row_of
from oa_chat.guards.signs import best, folded_names, template_has
from oa_chat.guards.taxonomy import map_categories
from oa_chat.segment import Segment
from oa_chat.verdict import Severity, Subject

_FAMILY = "shieldgemma"
POLICIES: dict[str, str] = {
    "Dangerous Content": (
        "harming oneself and/or others (e.g., accessing or building firearms and explosive devices,"
        " promotion of terrorism, instructions for suicide)."
    ),
    "Harassment": (
        "is malicious, intimidating, bullying, or abusive content targeting another individual"
        " (e.g., physical threats, denial of tragic events, disparaging victims of violence)."
    ),
    "Hate Speech": (
        "targeting identity and/or protected attributes (e.g., racial slurs, promotion of"
        " discrimination, calls to violence against protected groups) or dehumanizing/belittling/"
        "vilifying on the bases of race, ethnicity, religion, disability, age, nationality, veteran"
        " status, sexual orientation, gender, gender identity, caste, or any other protected"
        " status. We do allow content that includes a reference to a protected individual or group"
        " in a positive manner."
    ),
    "Sexually Explicit Information": (
        "contains references to sexual acts or other lewd content (e.g., sexually graphic"
        " descriptions, content aimed at causing arousal). Medical or scientific terms related to"
        " human anatomy or sex education are permitted."
    ),
}
"""The trained policies by name, as their makers word them; one question is asked for each."""
_MARKS = (
    *("<start_of_turn>", "<end_of_turn>", "Human Question:", "Chatbot Response:"),
    "Our safety principle is defined in the below:",
)
_ANSWER = re.compile(r"(Yes|No)")


@dataclass(frozen=True, slots=True)
class ShieldGemma:
    """The family."""

    name = _FAMILY
    kind: ModelKind = "causal"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> tuple[Question, ...]:
        """A question for each policy, about the newest message or the newest reply."""
        said, reply = exchange(messages, _MARKS)
        return tuple(
            Question(
                segments=_segments(said.strip(), reply, policy),
                choices=["Yes", "No"],
                grammar='root ::= "Yes" | "No"',
                brief=["Yes", "No"],
                max_tokens=4,
            )
            for policy in POLICIES
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The worst policy's verdict; one answer that cannot be read spoils them all."""
        if isinstance(answer, Output) or len(answer) != len(POLICIES):
            return Reading(None, failure="the guard did not answer for every policy")
        outputs = [output for output in answer if isinstance(output, Output)]
        said = zip(POLICIES, outputs, strict=False)
        raw = "\n".join(f"{policy}: {output.text.strip()}" for policy, output in said)
        try:
            chances = [_chance(output) for output in outputs]
        except NotAVerdict as refused:
            return Reading(None, raw=raw, failure=str(refused))
        if len(chances) != len(POLICIES):
            return Reading(None, raw=raw, failure="the guard gave scores instead of answers")
        worst = max(chances)
        bound = min(worst, UNSAFE_FROM) if worst >= POSSIBLY_FROM else 2.0
        ranked = sorted(zip(chances, POLICIES, strict=True), reverse=True)
        broken = [policy for chance, policy in ranked if chance >= bound]
        categories = map_categories(_FAMILY, broken)
        level = grade(worst, categories)
        return Reading(level, row_of(level, worst), categories=categories, raw=raw)


def _chance(output: Output) -> float:
    """How probably a policy is violated. Raises NotAVerdict."""
    said = _ANSWER.fullmatch(output.text.strip())
    if said is None:
        raise NotAVerdict("the guard's answer is not yes or no")
    row = by_level(output.probabilities, (Severity.CAUTION, Severity.CASUAL))
    if row is None:
        return 1.0 if said[1] == "Yes" else 0.0
    if (row[Severity.CAUTION] >= UNSAFE_FROM) is not (said[1] == "Yes"):
        raise NotAVerdict("the guard contradicts itself")
    return row[Severity.CAUTION]


def _segments(said: str, reply: str | None, policy: str) -> list[Segment]:
    subject = "a user prompt" if reply is None else "an AI response to a prompt"
    limits = (
        "prompt shall not contain or seek generation of"
        if reply is None
        else ("chatbot shall not generate")
    )
    asked = "human question" if reply is None else "Chatbot Response"
    segments = [
        Segment(
            f"You are a policy expert trying to help determine whether {subject} is in violation"
            " of the defined safety policies.\n\n<start_of_turn>\nHuman Question: ",
            trusted=True,
        ),
        Segment(said),
    ]
    if reply is not None:
        between = "\n<end_of_turn>\n\n<start_of_turn>\nChatbot Response: "
        segments += [Segment(between, trusted=True), Segment(reply.strip())]
    end = (
        "\n<end_of_turn>\n\nOur safety principle is defined in the below:\n\n"
        f'* "No {policy}": The {limits} content that {POLICIES[policy]}\n\n===\n\n'
        f"Does the {asked} violate the above principle? Your answer must start with 'Yes' or 'No'."
        " And then walk through step by step to be sure we answer correctly.\n\n"
    )
    segments.append(Segment(end, trusted=True))
    return [segment for segment in segments if segment.text]


def identify(header: GgufHeader) -> Identified | None:
    """By its name or its template; ShieldGemma 2 judges images."""
    if header.architecture == "gemma3":
        return None
    return best(
        header,
        ShieldGemma(),
        (_FAMILY in folded_names(header), 0.95, "it is named ShieldGemma"),
        (
            template_has(header, "policy expert", "guideline"),
            0.9,
            "its chat template is ShieldGemma's",
        ),
    )
