"""The `classifier` family: sequence classifiers whose labels are the five levels.

Input: the newest message; earlier turns as one line of context, oldest first, each written
``user: ...`` or ``assistant: ...`` (the card of the embedded guard). The engine cuts the context
from its old end and judges a message that is too long in overlapping windows. The labels come from
the file's metadata; their order there may be any. Writes no rule of thumb.

The level is the most probable one. A file may say ``oa_chat.thresholds.flag_below`` instead: then a
message is flagged if and only if its probability of "casual" is below that, and its level is the
most probable of the other four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import GgufHeader
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.protocol import ModelKind, Output, Passage, Window
from oa_chat.guards.family import Identified, Part, RawAnswer, Reading
from oa_chat.verdict import LABELS, Severity, Subject

_SUM_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Classifier:
    """A classifier with its own order of labels."""

    order: tuple[int, ...]
    """`order[i]` is the severity of the file's label number i."""

    flag_below: float = 0.0
    """0, or the probability of "casual" below which a message is flagged."""

    name = "classifier"
    kind: ModelKind = "classifier"
    writes_rules = False

    def prompt(self, messages: Sequence[Message]) -> Passage:
        """The newest message, with the earlier turns as context."""
        earlier = (
            f"{message.role}: {' '.join(message.text.split())}"
            for message in messages[:-1]
            if message.role != "system"
        )
        return Passage(text=messages[-1].text, context=" ".join(earlier))

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        """The worst window's level; that window's probabilities."""
        if isinstance(answer, Output):
            return Reading(None, failure="the guard wrote text instead of scores")
        judged: list[tuple[tuple[float, ...], Window]] = []
        for window in answer:
            if isinstance(window, Output):
                return Reading(None, failure="the guard wrote text instead of scores")
            row = self._probabilities(window)
            if row is None:
                return Reading(None, raw=str(window), failure="the guard's scores make no sense")
            judged.append((row, window))
        if not judged:
            return Reading(None, failure="the guard gave no scores")
        worst, window = max(judged, key=lambda one: (self._level(one[0]), expected_level(one[0])))
        place = (window.start, window.end) if window.end else None
        parts = tuple(self._part(row, one) for row, one in judged) if place else ()
        return Reading(self._level(worst), worst, windows=len(judged), worst=place, parts=parts)

    def _part(self, row: tuple[float, ...], window: Window) -> Part:
        looks = tuple(self._by_severity(look) for look in window.looks)
        return Part(self._level(row), row, window.start, window.end, looks)

    def _level(self, probabilities: Sequence[float]) -> Severity:
        return level_of(probabilities, self.flag_below)

    def _probabilities(self, window: Window) -> tuple[float, ...] | None:
        """The window's scores by severity, or None if they are not a distribution."""
        scores = window.probabilities
        if len(scores) != len(self.order) or not all(math.isfinite(score) for score in scores):
            return None
        if min(scores) < 0 or abs(sum(scores) - 1) > _SUM_TOLERANCE:
            return None
        return self._by_severity(scores)

    def _by_severity(self, scores: Sequence[float]) -> tuple[float, ...]:
        row = [0.0] * len(LABELS)
        for severity, score in zip(self.order, scores, strict=False):
            row[severity] = score
        return tuple(row)


def level_of(probabilities: Sequence[float], flag_below: float = 0.0) -> Severity:
    """The most probable level, the more severe one if two are equal; or by the threshold."""
    levels = range(len(probabilities))
    if flag_below > 0:
        if probabilities[Severity.CASUAL] >= flag_below:
            return Severity.CASUAL
        levels = levels[1:]
    return Severity(max(levels, key=lambda level: (probabilities[level], level)))


def expected_level(probabilities: Sequence[float]) -> float:
    """The mean level under the probabilities."""
    return sum(level * probability for level, probability in enumerate(probabilities))


def identify(header: GgufHeader) -> Identified | None:
    """Certain if the file's labels are exactly the five levels, in any order."""
    own = own_keys(header)
    if own.prompt_format not in ("", "classifier"):
        return None
    labels = [label.strip() for label in header.labels]
    if sorted(labels) != sorted(LABELS):
        return None
    order = tuple(int(Severity.from_label(label)) for label in labels)
    return Identified(Classifier(order, own.flag_below), 1.0, "its labels are the five levels")
