"""The seam for guard families: what to ask a safety model, and how to read its answer.

A family is one small file with pure functions, shared by chat, evaluation and training, so that a
prompt format exists once. Families know nothing about processes, files or policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oa_chat.conversation import Message
from oa_chat.engine.protocol import ModelKind, Output, Passage, Question, Window
from oa_chat.segment import Segment
from oa_chat.verdict import Severity, Subject

Prompt = Passage | list[Segment] | Question | tuple[Question, ...]
"""What an engine is asked, by kind of engine.

"classifier": a passage; "seq2seq": segments; "causal": a question, or a tuple of them where one
message takes several (a model that knows one policy at a time).
"""

RawAnswer = Sequence[Window] | Output | tuple[Output, ...]
"""What an engine answers: judged windows, written text, or one text a question of a tuple."""


@dataclass(frozen=True, slots=True)
class Part:
    """One judged piece of a text, for explanations."""

    severity: Severity | None
    probabilities: tuple[float, ...] | None = None
    start: int = 0
    end: int = 0
    """The characters it is about; 0 to 0 is all of the text."""
    looks: tuple[tuple[float, ...], ...] = ()
    """What `probabilities` are the mean of, by severity: see `protocol.Window.looks`."""
    raw: str = ""
    """What the model wrote, if it writes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A family's reading of one answer."""

    severity: Severity | None
    """None if the answer is not exactly of an allowed form."""
    probabilities: tuple[float, ...] | None = None
    rule: str = ""
    categories: tuple[str, ...] = ()
    """Names of `taxonomy.CATEGORIES`, if the model says what it is about."""
    raw: str = ""
    failure: str = ""
    """Why there is no severity, in words for the user."""
    windows: int = 1
    worst: tuple[int, int] | None = None
    """Which characters of the message decided, if it was judged in pieces."""
    parts: tuple[Part, ...] = ()
    """All judged pieces, in the order of judging; empty where the text was judged whole."""


class GuardFamily(Protocol):
    """One way of asking and reading. Both functions are pure and total."""

    @property
    def name(self) -> str:
        """The name for ``--guard-family``."""
        ...

    @property
    def kind(self) -> ModelKind:
        """Which kind of engine runs it."""
        ...

    @property
    def writes_rules(self) -> bool:
        """Whether the model itself writes a rule of thumb."""
        ...

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The prompt that judges the last message in the light of the earlier ones."""
        ...

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The reading of an answer to a prompt about a message or a reply.

        Never raises; what is not understood has no severity. Some models answer about a request and
        its reply at once, so what counts, and what is no answer, goes by the subject.
        """
        ...


@dataclass(frozen=True, slots=True)
class Identified:
    """A family that was found for a model file."""

    family: GuardFamily
    confidence: float
    """From 0 (no) to 1 (certain)."""
    why: str
    """What in the file speaks for it, in a few words."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of what the guard knows; empty is unknown, or any."""
