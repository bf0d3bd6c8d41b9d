"""The seam inside a child process: what `worker` needs from a loaded model.

One module for each kind (`causal`, `classifier`, `seq2seq`) has a function
``load(request, emit) -> Runner``; `worker` picks it from a table. Runners raise `OaChatError`s for
what a person should hear; the worker turns those into `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from oa_chat.engine.protocol import Answer, ModelInfo, Request

Emit = Callable[[Answer], None]
"""Sends one answer to the parent."""
Cancelled = Callable[[], bool]
"""Whether the request that runs now should stop. Cheap: asked for every token."""


class Runner(Protocol):
    """A loaded model that answers requests, one at a time."""

    info: ModelInfo

    def run(self, request: Request, emit: Emit, cancelled: Cancelled) -> None:
        """Answer one request; the last answer is the one `protocol` names for it."""
        ...

    def close(self) -> None:
        """Free the native model."""
        ...
