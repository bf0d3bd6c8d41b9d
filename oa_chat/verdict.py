"""What a guard said about a text: five levels of severity, or an explicit "unreadable".

The labels and their order are ProsocialDialog's (arXiv 2205.12688). An unreadable verdict has no
severity at all, so no comparison can mistake it for a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Subject = Literal["message", "reply"]
RuleSource = Literal["", "model", "writer", "rulebook", "user", "general"]


class Severity(IntEnum):
    """The five levels, least to most severe."""

    CASUAL = 0
    POSSIBLY = 1
    PROBABLY = 2
    CAUTION = 3
    INTERVENTION = 4

    @property
    def label(self) -> str:
        """The name in the data, such as ``__needs_caution__``."""
        return LABELS[self]

    @property
    def words(self) -> str:
        """The name for people, such as ``needs caution``."""
        return LABELS[self].strip("_").replace("_", " ")

    @classmethod
    def from_label(cls, label: str) -> Severity:
        """The level of an exact label. Raises KeyError for anything else."""
        return _BY_LABEL[label]


LABELS: tuple[str, ...] = (
    "__casual__",
    "__possibly_needs_caution__",
    "__probably_needs_caution__",
    "__needs_caution__",
    "__needs_intervention__",
)
"""ProsocialDialog's labels; the index is the severity."""

_BY_LABEL = {label: Severity(level) for level, label in enumerate(LABELS)}


@dataclass(frozen=True, slots=True)
class Stage:
    """What one of several guards said about a text, or why it was not asked."""

    guard: str
    """Its name."""
    asked: bool
    why: str
    """Why it was asked, or why not, in a few words."""
    severity: Severity | None = None
    """None if it was not asked or gave no verdict."""
    certainty: float | None = None
    """The probability of that level, if the guard says."""
    latency_ms: float = 0.0
    failure: str = ""
    """Why it gave no verdict, in words for the user."""
    counts: bool = False
    """Whether the verdict as a whole is this one's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A guard's judgement of one text."""

    severity: Severity | None
    """None if and only if the guard failed or its answer could not be read."""
    guard: str
    """Name of the guard that judged."""
    probabilities: tuple[float, ...] | None = None
    """Five numbers by severity that sum to 1, or None if the guard gives none."""
    rule: str = ""
    """The rule of thumb, or an empty string for a casual message."""
    rule_source: RuleSource = ""
    categories: tuple[str, ...] = ()
    subject: Subject = "message"
    latency_ms: float = 0.0
    raw: str = ""
    """The guard's own answer, for debugging and for the card of the verdict."""
    failure: str = ""
    """Why there is no severity, in words for the user."""
    windows: int = 1
    """In how many overlapping pieces the text was judged; the worst one counts."""
    language: str = ""
    """ISO 639-1 code of the text's language; empty if it is short, mixed, code or unsure."""
    language_known: bool = True
    """False if the text is, or surely has a part, in a language that the guard does not know."""
    stages: tuple[Stage, ...] = ()
    """What each guard said, in the order of asking; empty where there is one guard alone."""

    @property
    def readable(self) -> bool:
        """Whether the guard gave a verdict at all."""
        return self.severity is not None

    @property
    def flagged(self) -> bool:
        """Whether anything but a clear "casual" came out: a failure counts as flagged."""
        return self.severity is None or self.severity > Severity.CASUAL

    @property
    def badness(self) -> int:
        """For finding the worst of some verdicts: no verdict is worse than any level."""
        return len(LABELS) if self.severity is None else int(self.severity)

    @property
    def certainty(self) -> float | None:
        """The probability of the level that was given, if the guard says."""
        if self.severity is None or self.probabilities is None:
            return None
        return self.probabilities[self.severity]

    @property
    def contradicted(self) -> bool:
        """Whether one of several guards calls casual what another one flags."""
        levels = [stage.severity for stage in self.stages if stage.severity is not None]
        return bool(levels) and min(levels) is Severity.CASUAL and max(levels) > Severity.CASUAL


def unreadable(
    guard: str, failure: str, *, raw: str = "", subject: Subject = "message", latency_ms: float = 0
) -> Verdict:
    """The verdict of a guard that failed, timed out or answered something else."""
    return Verdict(
        severity=None,
        guard=guard,
        failure=failure,
        raw=raw,
        subject=subject,
        latency_ms=latency_ms,
    )
