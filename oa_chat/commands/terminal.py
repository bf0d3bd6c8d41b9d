"""Whether somebody sits at a stream."""

from __future__ import annotations

from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal. One that was closed before the start is None."""
    return stream is not None and stream.isatty()
