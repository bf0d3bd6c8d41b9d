"""Question: notes whether a message asks or states, and may keep only one of the two.

What it found goes into `kind` if the source gave none, and is counted in the notes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.asking import is_question

QUESTION = "question"
STATEMENT = "statement"


class QuestionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the two stay."""

    keep: Literal["all", "question", "statement"] = "all"


class Question:
    """The step; see the module."""

    name = "question"

    def __init__(self, settings: QuestionSettings) -> None:
        self._keep = settings.keep

    def apply(self, draft: Draft) -> str:
        """Note the kind; the reason for dropping is the kind that is not wanted."""
        kind = QUESTION if is_question(draft.text) else STATEMENT
        draft.notes[kind] = 1
        draft.kind = draft.kind or kind
        return KEEP if self._keep in ("all", kind) else kind
