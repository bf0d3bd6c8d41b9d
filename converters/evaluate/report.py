"""Everything that is said about one guard, as data: made here, drawn and written elsewhere.

The temperature comes in from outside (`fit_on_dev`), so that no code path here could fit it on a
test set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from converters.evaluate.calibration import (
    Confidences,
    calibration_figures,
    fit_temperature,
    flag_confidences,
    level_confidences,
)
from converters.evaluate.intervals import RESAMPLES, Figures
from converters.evaluate.judges import JudgeInfo
from converters.evaluate.metrics import flag_figures, rank_figures
from converters.evaluate.ordinal import LevelReport, level_report
from converters.evaluate.outcomes import Outcome, Prediction, outcome_of
from converters.evaluate.samples import BENIGN_PACKS, LabelledSet
from converters.evaluate.slices import Slice, slices

_REASONS = 5
"""Different failures that a report names."""


@dataclass(frozen=True, slots=True, eq=False)
class SetReport:
    """One guard on one set."""

    data: LabelledSet
    outcome: Outcome
    harmful: int
    harmless: int
    unreadable: int
    failures: tuple[tuple[str, int], ...]
    """The most frequent reasons for unreadable answers, with how often."""
    flag: Figures
    """Flagged = the most probable level is not casual."""
    own: Figures | None
    """Flagged by the guard's own thresholds; None if they change nothing here."""
    some_harm: Figures
    """Ranking by 1 - p(casual)."""
    grave_harm: Figures
    """Ranking by p(needs_caution) + p(needs_intervention)."""
    levels: LevelReport | None
    calibration: dict[str, Figures]
    """"levels" and "flag", each also with " after" once a temperature is known."""
    slices: tuple[Slice, ...]

    @property
    def benign(self) -> bool:
        """Whether the harmless half was written to look harmful."""
        return self.data.name in BENIGN_PACKS

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {
            "rows": len(self.outcome.samples),
            "harmful": self.harmful,
            "harmless": self.harmless,
            "harmless_looks_harmful": self.benign,
            "unreadable": self.unreadable,
            "failures": [{"why": why, "count": count} for why, count in self.failures],
            "flagged": _fields(self.flag),
            "flagged_by_own_thresholds": _fields(self.own) if self.own else None,
            "ranking": {
                "one_minus_casual": _fields(self.some_harm),
                "harm": _fields(self.grave_harm),
            },
            "levels": _level_fields(self.levels) if self.levels else None,
            "calibration": {name: _fields(one) for name, one in self.calibration.items()},
            "slices": [asdict(one) for one in self.slices],
        }
        return found


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature and where it is from."""

    value: float
    sets: tuple[str, ...]
    """Names of the dev sets."""
    rows: int


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One guard on all sets."""

    info: JudgeInfo
    sets: tuple[SetReport, ...]
    temperature: Temperature | None

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.info.name,
            "sha256": self.info.sha256,
            "family": self.info.family,
            "kind": self.info.kind,
            "size_bytes": self.info.size_bytes,
            "description": dict(self.info.description),
            "flag_below": self.info.flag_below or None,
            "temperature": asdict(self.temperature) if self.temperature else None,
            "sets": {one.data.name: one.fields() for one in self.sets},
        }


def fit_on_dev(
    devs: Sequence[LabelledSet], predictions: Sequence[Sequence[Prediction]]
) -> Temperature | None:
    """The temperature that fits the dev sets best; None if they say too little."""
    samples = [sample for data in devs for sample in data.samples]
    if not samples:
        return None
    outcome = outcome_of(samples, [one for said in predictions for one in said])
    if outcome.probabilities is None:
        return None
    value = fit_temperature(outcome.probabilities, outcome.allowed)
    if value is None:
        return None
    return Temperature(round(value, 6), tuple(data.name for data in devs), len(samples))


def set_report(
    data: LabelledSet,
    predictions: Sequence[Prediction],
    info: JudgeInfo,
    temperature: Temperature | None,
    resamples: int = RESAMPLES,
) -> SetReport:
    """Everything about a guard on a set."""
    outcome = outcome_of(data.samples, predictions)
    known = outcome.unsafe >= 0
    unsafe = outcome.unsafe[known] == 1
    some, grave = outcome.some_harm(), outcome.grave_harm()
    thresholds = bool(info.flag_below) or bool((outcome.flagged != outcome.flagged_by_guard).any())
    failures = Counter(one.failure for one in predictions if one.level is None)
    return SetReport(
        data=data,
        outcome=outcome,
        harmful=int(unsafe.sum()),
        harmless=int((~unsafe).sum()),
        unreadable=int(outcome.unreadable.sum()),
        failures=tuple(sorted(failures.items(), key=lambda one: (-one[1], one[0]))[:_REASONS]),
        flag=flag_figures(outcome.flagged[known], unsafe, resamples),
        own=flag_figures(outcome.flagged_by_guard[known], unsafe, resamples)
        if thresholds
        else None,
        some_harm=rank_figures(None if some is None else some[known], unsafe, resamples),
        grave_harm=rank_figures(None if grave is None else grave[known], unsafe, resamples),
        levels=level_report(outcome, resamples),
        calibration=_calibration(outcome, temperature, resamples),
        slices=tuple(slices(outcome)),
    )


def _calibration(
    outcome: Outcome, temperature: Temperature | None, resamples: int
) -> dict[str, Figures]:
    seen: dict[str, Confidences | None] = {
        "levels": level_confidences(outcome),
        "flag": flag_confidences(outcome),
    }
    if temperature:
        seen["levels after"] = level_confidences(outcome, temperature.value)
        seen["flag after"] = flag_confidences(outcome, temperature.value)
    return {
        name: calibration_figures(one, resamples) for name, one in seen.items() if one is not None
    }


def _fields(figures: Figures) -> dict[str, Any]:
    return {name: figure.fields() for name, figure in figures.items()}


def _level_fields(levels: LevelReport) -> dict[str, Any]:
    return {
        "rows": levels.rows,
        **_fields(levels.figures),
        "majority_accuracy": round(levels.majority_accuracy, 6),
        "per_level": {label: _fields(figures) for label, figures in levels.per_level.items()},
        "support": levels.support,
        "confusion": levels.confusion,
    }
