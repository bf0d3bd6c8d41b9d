"""A piece of a prompt, and whether its control tokens count.

Kept apart from `prompts` and `engine.protocol`, which both need it: the parent imports the wire
types without Jinja.
"""

from __future__ import annotations

import msgspec


class Segment(msgspec.Struct, frozen=True):
    """A piece of a prompt. Control tokens are recognised in trusted pieces alone."""

    text: str
    trusted: bool = False
    reply: bool = False
    """Something that the assistant said earlier in the conversation."""
