"""The `nemoguard` family: NVIDIA's content safety models that answer in JSON.

Llama 3.1 NemoGuard 8B ContentSafety (also called Llama Nemotron Safety Guard V2) and Llama 3.1
Nemotron Safety Guard 8B v3. The prompt is one user message with the task, the 23 categories of
Aegis 2.0 and the exchange (NVIDIA's model cards; the same in NeMo-Guardrails). The answer is one
object with "User Safety", which counts for a message, "Response Safety", which a reply has to have
and which counts then, and "Safety Categories" if anything is unsafe.

Levels: by the probability of unsafe and the categories (`grades`); "Needs Caution" alone, which
Aegis has for what its annotators were unsure about, is "probably needs caution". It explains
nothing and sees the newest exchange alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.protocol import ModelKind, Output, Question
from oa_chat.guards.answers import NotAVerdict, moved, read_text, two_way
from oa_chat.guards.exchange import exchange
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.signs import best, folded_names, template_has
from oa_chat.guards.taxonomy import LISTS, knows, map_categories
from oa_chat.verdict import Severity, Subject

_FAMILY = "nemoguard"
_USER, _RESPONSE, _CATEGORIES = "User Safety", "Response Safety", "Safety Categories"
_BEGIN = (
    "Task: Check if there is unsafe content in the user or agent messages in the below conversation"
    " in accordance with our safety policy with the below categories. Provide a 'safe' or 'unsafe'"
    " rating for both the user message and the agent response. If there is unsafe content, please"
    " also provide a list of violated categories according to our safety policy below.\n\n"
    "<BEGIN UNSAFE CONTENT CATEGORIES>\n"
    + "".join(f"S{number}: {row.name}.\n" for number, row in enumerate(LISTS[_FAMILY], 1))
    + "<END UNSAFE CONTENT CATEGORIES>\n\n<BEGIN CONVERSATION>\n\n"
)
_END = (
    "\n\n<END CONVERSATION>\n\n"
    "Provide your safety assessment for the above conversation in the below output JSON format:\n"
    '{"User Safety": safe or unsafe rating for the user message, "Response Safety": safe or unsafe'
    ' rating for the agent response. Omit if no agent response present. "Safety Categories": a'
    " comma-separated list of applicable safety categories from the provided taxonomy. Omit if all"
    " safe.}\n\n"
    "Do not include anything other than the output JSON in your response.\nOutput JSON:"
)
_MARKS = (
    *("<BEGIN CONVERSATION>", "<END CONVERSATION>", "response: agent:", "Output JSON:"),
    *("<BEGIN UNSAFE CONTENT CATEGORIES>", "<END UNSAFE CONTENT CATEGORIES>"),
)
_NAMES = " | ".join(json.dumps(row.name) for row in LISTS[_FAMILY])
_RULES = (
    rf'listed ::= "\", \"{_CATEGORIES}\": \"" name (", " name){{0,4}} "\"}}"' + "\n"
    f"name ::= {_NAMES}\n"
)
_MESSAGE = 'root ::= "safe\\"}" | "unsafe" listed\n'
_REPLY = (
    f'root ::= "safe" reply ("safe\\"}}" | "unsafe" listed) | "unsafe" reply rating listed\n'
    f'reply ::= "\\", \\"{_RESPONSE}\\": \\""\n'
    'rating ::= "safe" | "unsafe"\n'
)


@dataclass(frozen=True, slots=True)
class NemoGuard:
    """The family."""

    name = _FAMILY
    kind: ModelKind = "causal"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> Question:
        """The trained prompt about the newest message, or about the newest reply."""
        said, reply = exchange(messages, _MARKS)
        shown = f"user: {said}" if reply is None else f"user: {said}\n\nresponse: agent: {reply}"
        return Question(
            messages=[Message("user", f"{_BEGIN}{shown}{_END}")],
            lead=f'{{"{_USER}": "',
            choices=["unsafe", "safe"],
            after="" if reply is None else f'"{_RESPONSE}": "',
            grammar=(_MESSAGE if reply is None else _REPLY) + _RULES,
            brief=['safe"}'],
            max_tokens=256,
        )

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The decisive rating with its categories, from exactly one object with these keys."""
        return read_text(answer, partial(_parse, subject))


def _parse(subject: Subject, answer: Output) -> Reading:
    ratings = _object(answer.text)
    listed = ratings.pop(_CATEGORIES, None)
    if _USER not in ratings or not set(ratings) <= {_USER, _RESPONSE}:
        raise NotAVerdict("the guard's answer has not NemoGuard's keys")
    if not set(ratings.values()) <= {"safe", "unsafe"}:
        raise NotAVerdict("the guard's answer is neither safe nor unsafe")
    if listed and "unsafe" not in ratings.values():
        raise NotAVerdict("the guard contradicts itself")
    if not _harmful(subject, ratings):
        return two_way(answer, False)
    names = [name.strip() for name in listed.split(",")] if listed else []
    if not all(knows(_FAMILY, name) for name in names):
        raise NotAVerdict("the guard names a category that NemoGuard does not have")
    reading = two_way(answer, True, map_categories(_FAMILY, names))
    return moved(reading, Severity.PROBABLY) if names == ["Needs Caution"] else reading


def _harmful(subject: Subject, ratings: Mapping[str, str]) -> bool:
    """Whether the subject is called unsafe. Raises NotAVerdict if nothing is said about it."""
    if subject == "reply":
        if _RESPONSE not in ratings:
            raise NotAVerdict("the guard said nothing about the reply")
        return ratings[_RESPONSE] == "unsafe"
    if ratings[_USER] == "safe" and ratings.get(_RESPONSE) == "unsafe":
        raise NotAVerdict("the guard speaks of a reply that is not there")
    return ratings[_USER] == "unsafe"


def _object(text: str) -> dict[str, str]:
    """The one JSON object that the text is, with texts as values and no key twice."""
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError):
        raise NotAVerdict("the guard's answer is not JSON") from None
    if not isinstance(pairs, list) or not text.lstrip().startswith("{"):
        raise NotAVerdict("the guard's answer is not a JSON object")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotAVerdict("the guard gave two verdicts")
    if not all(isinstance(value, str) for value in found.values()):
        raise NotAVerdict("the guard's answer has other values than words")
    return found


def identify(header: GgufHeader) -> Identified | None:
    """By its name, or by a template that asks for its keys.

    Other safety models of the same makers (for topics, for jailbreaks, the ones that reason)
    answer in other forms and are left alone.
    """
    names = folded_names(header)
    others = any(word in names for word in ("topic", "jailbreak", "reasoning"))
    named = not others and ("nemoguard" in names or "nemotronsafetyguard" in names)
    asks = not others and template_has(header, _USER, _CATEGORIES, "Output JSON")
    return best(
        header,
        NemoGuard(),
        (named, 0.9, "it is named as one of NVIDIA's content safety models"),
        (asks, 0.9, "its chat template asks for a User Safety rating"),
    )
