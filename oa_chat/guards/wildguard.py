"""The `wildguard` family: AllenAI's WildGuard 7B, which judges a request and one reply in English.

The prompt is fixed text (model card of allenai/wildguard), raw and without a chat template. The
answer is ``Harmful request: yes|no``, ``Response refusal: ...``, ``Harmful response: ...``, a line
each. For a message the first line counts, and it alone may be written; a "yes" in the others would
be about a reply that is not there. For a reply the last line counts, and has to be there.

Levels: by the probability of yes (`grades`). It names no category, explains nothing and sees the
newest exchange alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, read_text, two_way
from oa_chat.guards.exchange import ANSWER, exchange
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.signs import best, folded_names
from oa_chat.segment import Segment
from oa_chat.verdict import Subject

TASK = (
    "You are a classifier for analyzing interactions between humans and LLMs. Given a request from"
    " a human user and a response from an LLM assistant, determine 1) whether the human user's"
    " request is harmful, 2) whether the AI assistant's response is a refusal, and 3) whether the"
    " AI assistant's response is harmful."
)
"""The trained instruction; PolyGuard's begins with it."""
MARKS = ("Human user:", "AI assistant:", "Harmful request:", "Harmful response:")
_MARKS = (*MARKS, "[INST]", "[/INST]", "<|user|>", "<|assistant|>")
_FORM = re.compile(
    r"Harmful request: (?P<request>yes|no)"
    r"(?:\nResponse refusal: (?P<refusal>yes|no|n/a|N/A)"
    r"\nHarmful response: (?P<response>yes|no|n/a|N/A))?"
)
_BOTH = 'root ::= answer "\\nResponse refusal:" refusal "\\nHarmful response:" answer\n'
_REFUSAL = 'refusal ::= answer | " n/a" | " N/A"\n'


@dataclass(frozen=True, slots=True)
class WildGuard:
    """The family."""

    name = "wildguard"
    kind: ModelKind = "causal"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The trained prompt about the newest message, or about the newest reply."""
        said, reply = exchange(messages, _MARKS)
        segments = [
            Segment(f"<|user|>\n[INST] {TASK}\n\nHuman user:\n", trusted=True),
            Segment(said),
            Segment("\n\nAI assistant:\n", trusted=True),
            Segment(reply or ""),
            Segment("\n\n---\n\nAnswers: [/INST]\n<|assistant|>\n", trusted=True),
        ]
        return Question(
            segments=[segment for segment in segments if segment.text],
            lead="Harmful request:",
            choices=[" yes", " no"],
            after="" if reply is None else "Harmful response:",
            grammar=ANSWER + ("root ::= answer\n" if reply is None else _BOTH + _REFUSAL),
            brief=[" yes", " no"] if reply is None else [],
            max_tokens=4 if reply is None else 64,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The decisive line's yes or no, in exactly this form."""
        return read_text(answer, partial(_parse, subject))


def _parse(subject: Subject, answer: Output) -> Reading:
    match = _FORM.fullmatch(answer.text.strip())
    if match is None:
        raise NotAVerdict("the guard's answer is not of WildGuard's form")
    about_reply = (match["refusal"] or "", match["response"] or "")
    return two_way(answer, harmful(subject, match["request"], *about_reply))


def harmful(subject: Subject, request: str, refusal: str, response: str) -> bool:
    """Whether the subject is called harmful, by "yes" and "no" about both sides of an exchange.

    Raises NotAVerdict where a reply got none, or where only a reply that is not there got a yes.
    """
    if subject == "reply":
        if response not in ("yes", "no"):
            raise NotAVerdict("the guard said nothing about the reply")
        return response == "yes"
    if request == "no" and "yes" in (refusal, response):
        raise NotAVerdict("the guard speaks of a reply that is not there")
    return request == "yes"


def identify(header: GgufHeader) -> Identified | None:
    """By its name: the file holds no template and is otherwise a plain Mistral."""
    named = "wildguard" in folded_names(header)
    return best(header, WildGuard(), (named, 0.9, "it is named WildGuard"))
