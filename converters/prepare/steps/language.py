"""Language: notes which language a message is in, and may keep only some.

The identifier is `converters.language`. Short slang stays undecided ("und"): a wrong language would
do more harm than none. A language that the source gave is not looked at again.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from converters.language import UNDECIDED, language_of
from converters.prepare.draft import KEEP, Draft

OTHER = "other language"
UNSURE = "undecided language"


class LanguageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which languages stay."""

    keep: tuple[str, ...] = ()
    """ISO 639 codes; none keeps all."""
    undecided: Literal["keep", "drop"] = "keep"
    again: bool = False
    """Whether a language that the source gave is looked at again."""


class Language:
    """The step; see the module."""

    name = "language"

    def __init__(self, settings: LanguageSettings) -> None:
        self._keep = frozenset(settings.keep)
        self._undecided = settings.undecided == "keep"
        self._again = settings.again

    def apply(self, draft: Draft) -> str:
        """Note the language; drop the record if it is not wanted."""
        if self._again or not draft.lang:
            draft.lang = language_of(draft.text)[0]
        if draft.lang == UNDECIDED:
            return KEEP if self._undecided else UNSURE
        return OTHER if self._keep and draft.lang not in self._keep else KEEP
