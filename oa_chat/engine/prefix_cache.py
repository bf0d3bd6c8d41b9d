"""The tokens that a context holds, and how little of a new prompt must be evaluated.

Turn after turn, a chat's prompt starts like the one before: the longest common prefix of tokens
stays where it is. Evaluates and keeps count; knows nothing of messages or sampling.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence

from oa_chat.engine.native import Context, Model, lib, recent_log
from oa_chat.engine.runner import Cancelled
from oa_chat.errors import EngineError

FIRST_PIECE = 32
SMALLEST_PIECE = 16
LONGEST_PIECE_S = 0.2
"""A prompt is evaluated in pieces of about this long at most, so that cancelling is quick."""


class PrefixCache:
    """What has been evaluated in a context, as token ids. One sequence, one user."""

    def __init__(self, model: Model, context: Context) -> None:
        self.ids: list[int] = []
        """Exactly what the context's memory holds."""
        self.can_rewind = not (
            lib.llama_model_is_recurrent(model.pointer) or lib.llama_model_is_hybrid(model.pointer)
        )
        """Whether a tail can be dropped; recurrent models must start over instead."""
        self._context = context
        self._has_logits = False
        self._piece = min(FIRST_PIECE, context.options.batch)
        # One token a call, without allocating: llama.cpp finds the position itself.
        self._token = (ctypes.c_int32 * 1)()
        self._single = lib.llama_batch_get_one(self._token, 1)

    def keep(self, ids: Sequence[int], logits: bool) -> int:
        """Drop what does not start `ids`; how many of them are evaluated already.

        With `logits` at least one is left to evaluate, unless the last logits are still there.
        """
        common = _common_prefix(self.ids, ids)
        if common == len(ids) and logits and not (self._has_logits and common == len(self.ids)):
            common -= 1
        if common < len(self.ids):
            self._has_logits = False
            if common and lib.llama_memory_seq_rm(self._context.memory, 0, common, -1):
                del self.ids[common:]
            else:
                self.clear()
        return len(self.ids)

    def evaluate(
        self, ids: Sequence[int], cancelled: Cancelled, on_progress: Callable[[int, int], None]
    ) -> bool:
        """Evaluate what is missing of `ids` after `keep`; False if it was cancelled on the way.

        Raises `EngineError` if llama.cpp fails; the cache is empty then.
        """
        while len(self.ids) < len(ids):
            if cancelled():
                return False
            piece = list(ids[len(self.ids) : len(self.ids) + self._piece])
            started = time.perf_counter()
            self._check(lib.llama_decode(self._context.pointer, self._context.batch(piece)))
            # Waits for a GPU, which would else let all pieces queue up before the first is done.
            lib.llama_synchronize(self._context.pointer)
            self.ids += piece
            self._has_logits = True
            if len(piece) == self._piece:
                self._adapt(time.perf_counter() - started)
            on_progress(len(self.ids), len(ids))
        return True

    def append(self, token: int) -> None:
        """Evaluate one more token. Raises `EngineError` like `evaluate`."""
        self._token[0] = token
        code = lib.llama_decode(self._context.pointer, self._single)
        if code:
            self._check(code)
        self.ids.append(token)
        self._has_logits = True

    def clear(self) -> None:
        """Forget everything."""
        lib.llama_memory_clear(self._context.memory, True)
        self.ids.clear()
        self._has_logits = False

    def _adapt(self, seconds: float) -> None:
        if seconds < LONGEST_PIECE_S / 2:
            self._piece = min(self._context.options.batch, self._piece * 2)
        elif seconds > LONGEST_PIECE_S:
            self._piece = max(SMALLEST_PIECE, self._piece // 2)

    def _check(self, code: int) -> None:
        if code:
            self.clear()
            raise EngineError(
                f"llama.cpp could not evaluate the prompt (code {code}). {recent_log()}".strip(),
                "Send the message again; if it keeps failing, use a smaller context.",
            )


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return number
    return min(len(left), len(right))
