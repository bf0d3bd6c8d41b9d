"""What a rule writer is asked, and what it answers: one form for chat and training. Pure.

The message is a ChatML turn of the user, the rule a turn of the role ``rule``. A model may be
trained to see the level behind that role (``rule needs caution``); its file then says
``oa_chat.prompt_format = "rule-writer/level"`` (`LEVEL_FORMAT`).
"""

from __future__ import annotations

from oa_chat.segment import Segment
from oa_chat.verdict import Severity

RULE_END = "<|im_end|>"
"""What a rule ends with."""
LEVEL_FORMAT = "rule-writer/level"
_CHARACTERS = 600
"""About 150 tokens, what the first writer was trained on. The front of a longer message is read."""


def writer_prompt(text: str, severity: Severity | None = None) -> list[Segment]:
    """The prompt for a rule; the level is told if it is given."""
    role = f"rule {severity.words}" if severity is not None else "rule"
    return [
        Segment("<|im_start|>user\n", trusted=True),
        Segment(text[:_CHARACTERS]),
        Segment(f"<|im_end|>\n<|im_start|>{role}\n", trusted=True),
    ]


def writer_answer(rule: str) -> list[Segment]:
    """A rule as the model is to write it."""
    return [Segment(rule, reply=True), Segment(RULE_END, trusted=True)]
