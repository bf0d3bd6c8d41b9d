"""The row steps by the names that recipes call them."""

from __future__ import annotations

from converters.prepare.draft import StepKind
from converters.prepare.steps.length import Length, LengthSettings
from converters.prepare.steps.normalise import Normalise, NormaliseSettings
from converters.prepare.steps.quality import Quality, QualitySettings

STEPS: dict[str, StepKind] = {
    "normalise": StepKind(NormaliseSettings, Normalise),
    "length": StepKind(LengthSettings, Length),
    "quality": StepKind(QualitySettings, Quality),
}
