"""The `granite-guardian` family: IBM's Granite Guardian 3.0 to 4.1, asked for harm in general.

Three dialects, told apart by the chat template and the name (cookbooks and evaluation code of
ibm-granite/granite-guardian):

- ``yes-no`` (3.0-3.2): template variable ``guardian_config = {"risk_name": "harm"}``. Answer
  ``Yes`` or ``No``; 3.2 adds ``<confidence> High </confidence>``. Its template knows one message
  or one exchange: with three messages it takes the first for tools.
- ``score`` (3.3): ``guardian_config = {"criteria_id": "harm"}`` and ``think``. Answer
  ``<score> yes </score>``, with closed thoughts before it.
- ``block`` (4.1): the question is the last user message. Answer as 3.3.

`granite-guardian-think` is the same with thoughts, which take hundreds of tokens; the end of them
is the rule. Levels: by the probability of yes (`grades`); a low confidence in words keeps them
between "possibly" and "probably needs caution". It names no category.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import (
    NotAVerdict,
    moved,
    read_text,
    thoughts_and_rest,
    two_way,
    with_explanation,
)
from oa_chat.guards.exchange import as_messages, taken_apart
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.signs import best, folded_names, generating, template_has
from oa_chat.verdict import Severity, Subject

Dialect = Literal["yes-no", "score", "block"]

_YES_NO = re.compile(
    r"(?P<said>Yes|No)(?:\s*<confidence>\s*(?P<sure>High|Low)\s*</confidence>)?", re.ASCII
)
_SCORE = re.compile(r"\s*<score>\s*(?P<said>yes|no)\s*</score>\s*", re.ASCII)
_CONFIDENT = '"\\n<confidence> " ("High" | "Low") " </confidence>"'
_SCORED = '"<score> " ("yes" | "no") " </score>"'
_JUDGE = (
    "<guardian><no-think>As a judge agent, assess whether the provided text meets the given judging"
    " criteria using all available information, including conversations, documents, and tools."
    " Provide your score immediately without explanation. Output empty <think>\\n</think> tags"
    " followed by your score in <score></score> tags."
)
_THINKING_JUDGE = (
    "<guardian><think>As a judge agent, carefully analyze whether the provided text meets the given"
    " judging criteria. Use all available information, including conversations, documents, and"
    " tools. Reason through the evidence step by step before providing your score. Wrap your"
    " reasoning in <think></think> tags, then provide your score in <score></score> tags."
)
_CRITERIA = (
    "\n\n### Criteria: The text promotes or contains content that is universally harmful across all"
    " contexts and audiences, including content that could cause physical, psychological, or social"
    " harm.\n\n### Scoring Schema: If the last assistant's text meets the criteria, return 'yes';"
    " otherwise, return 'no'."
)
_THOUGHT_TOKENS = 500
_MARKS = (
    *("User Message:", "Assistant Message:", "<start_of_turn>", "<end_of_turn>"),
    *("<start_of_risk_definition>", "<end_of_risk_definition>", "<guardian>"),
    *("### Criteria:", "### Scoring Schema:"),
)


@dataclass(frozen=True, slots=True)
class GraniteGuardian:
    """The family in one of its dialects."""

    dialect: Dialect
    thinks: bool = False
    """Whether it is asked to think first; for ``score`` and ``block``."""

    kind: ModelKind = "causal"

    @property
    def name(self) -> str:
        """The name for ``--guard-family``."""
        return "granite-guardian-think" if self.thinks else "granite-guardian"

    @property
    def writes_rules(self) -> bool:
        """Only its thoughts explain anything."""
        return self.thinks

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The dialect's question about harm in the newest message."""
        if self.dialect == "yes-no":
            return Question(
                messages=as_messages(messages, _MARKS),
                options={"guardian_config": {"risk_name": "harm"}},
                choices=["Yes", "No"],
                grammar=f'root ::= ("Yes" | "No") ({_CONFIDENT})?\n',
                max_tokens=48,
            )
        spoken = [
            Message(message.role, taken_apart(message.text, _MARKS))
            for message in messages
            if message.role != "system"
        ]
        options: dict[str, object] = {}
        if self.dialect == "score":
            options = {"guardian_config": {"criteria_id": "harm"}, "think": self.thinks}
        else:
            judge = _THINKING_JUDGE if self.thinks else _JUDGE
            spoken.append(Message("user", judge + _CRITERIA))
        thoughts = '"<think>" [^<]+ "</think>"' if self.thinks else '("<think>\\n</think>")?'
        return Question(
            messages=spoken,
            options=options,
            choices=[" yes", " no"],
            after="<score>",
            grammar=f'root ::= {thoughts} "\\n"{{0,2}} {_SCORED}\n',
            brief=[] if self.thinks else [f"<score> {said} </score>" for said in ("yes", "no")],
            max_tokens=_THOUGHT_TOKENS if self.thinks else 48,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The yes or no in one of the two forms; both are read whatever the dialect."""
        return read_text(answer, _parse)


def _parse(answer: Output) -> Reading:
    match = _YES_NO.fullmatch(answer.text.strip())
    if match is not None:
        return _yes_no(answer, match["said"] == "Yes", match["sure"] == "Low")
    thoughts, rest = thoughts_and_rest(answer.text)
    score = _SCORE.fullmatch(rest)
    if score is None:
        raise NotAVerdict("the guard's answer is not of Granite Guardian's form")
    harmful = score["said"] == "yes"
    return with_explanation(two_way(answer, harmful), thoughts if harmful else "", last=True)


def _yes_no(answer: Output, harmful: bool, unsure: bool) -> Reading:
    """A low confidence is never casual, and at most "probably needs caution"."""
    reading = two_way(answer, harmful)
    if not unsure or reading.severity is None:
        return reading
    return moved(reading, min(max(reading.severity, Severity.POSSIBLY), Severity.PROBABLY))


def _dialect(header: GgufHeader) -> tuple[Dialect, float, str]:
    if template_has(header, "guardian_config", "criteria_id"):
        return "score", 0.95, "its chat template is Granite Guardian 3.3's"
    if template_has(header, "guardian_config", "risk_name"):
        return "yes-no", 0.95, "its chat template is Granite Guardian 3.0 to 3.2's"
    names = folded_names(header)
    if "guardian" not in names or "granite" not in names:
        return "block", 0.0, ""
    if "41" in names or "guardian4" in names:
        return "block", 0.9, "it is named Granite Guardian 4"
    return "block", 0.3, "it is named Granite Guardian, but its template holds no policy"


def identify(header: GgufHeader) -> Identified | None:
    """By its template (3.0 to 3.3) or its name (4.1)."""
    dialect, confidence, why = _dialect(header)
    return best(header, GraniteGuardian(dialect), (confidence > 0, confidence, why))


def identify_thinking(header: GgufHeader) -> Identified | None:
    """For ``--guard-family`` alone: thinking is never chosen unasked."""
    dialect, _, _ = _dialect(header)
    if not generating(header) or dialect == "yes-no":
        return None
    return Identified(GraniteGuardian(dialect, thinks=True), 0.1, "it was asked for")
