"""The row steps by the names that recipes call them."""

from __future__ import annotations

from converters.prepare.draft import StepKind
from converters.prepare.steps.language import Language, LanguageSettings
from converters.prepare.steps.length import Length, LengthSettings
from converters.prepare.steps.normalise import Normalise, NormaliseSettings
from converters.prepare.steps.quality import Quality, QualitySettings
from converters.prepare.steps.question import Question, QuestionSettings
from converters.prepare.steps.scrub import Scrub, ScrubSettings

STEPS: dict[str, StepKind] = {
    "normalise": StepKind(NormaliseSettings, Normalise),
    "language": StepKind(LanguageSettings, Language),
    "scrub": StepKind(ScrubSettings, Scrub),
    "question": StepKind(QuestionSettings, Question),
    "length": StepKind(LengthSettings, Length),
    "quality": StepKind(QualitySettings, Quality),
}
