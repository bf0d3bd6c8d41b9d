"""T5 models: an encoder reads the prompt, a decoder writes the answer, greedily.

Made for guards that write ``__label__<sep>rule``: the probability of every wanted label is scored
at the place where a label was written, and decoding ends there if nothing more is needed. The
decoder reads the whole prompt anew for every token, so that is most of the time saved.

Control tokens of the format (``<sep>``, ``<cls>``, ``<ctx>``) stay in the text. ``</s>`` ends it
and ``<pad>`` is dropped. Untrusted text never yields a control token, and keeps one only if the
file says that it is text. Runs in a child process only, on the low-level API: the high-level one
aborts the process with T5. The output scale of tied models is a matter of conversion, not of this
file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oa_chat.engine import label_scores, t5_prompt
from oa_chat.engine.decoder import MOST_ROWS, Decoder
from oa_chat.engine.gguf_header import GgufHeader, require_kind
from oa_chat.engine.native import Context, ContextOptions, Model, choose_threads, lib, open_both
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.protocol import (
    Load,
    ModelInfo,
    Output,
    Progress,
    Request,
    Segment,
    Write,
    Written,
)
from oa_chat.engine.runner import Cancelled, Emit
from oa_chat.errors import EngineError

MOST_TOKENS = 512
"""T5 was trained with 512 tokens; its positions go on beyond, its judgement does not."""
_SMALLEST = 64
_TOKENS_A_SIGN = 16
"""Tokens between two signs of life: a large model on a slow machine takes seconds for them."""


def load(request: Load, emit: Emit) -> Seq2Seq:
    """Load a T5. Raises `ModelError`s; `WrongModelKind` before llama.cpp can abort."""
    started = time.perf_counter()
    path = Path(request.path)
    header = require_kind(path, "seq2seq", "guard")
    threads = choose_threads(header.size_bytes, request.threads)

    def options(model: Model) -> list[ContextOptions]:
        limit = min(MOST_TOKENS, model.trained_context or MOST_TOKENS)
        size = max(_SMALLEST, min(request.context or limit, limit))
        # No flash attention: with T5's position bias it only slows down (230 ms, not 190, for 24
        # tokens of a model of t5-small's size).
        return [ContextOptions(size, size, threads, flash_attention=0, outputs=MOST_ROWS)]

    def report(done: int, total: int) -> None:
        emit(Progress(id=request.id, stage="load", done=done, total=total))

    model, context, note = open_both(path, request.gpu_layers, options, report)
    try:
        return Seq2Seq(header, model, context, note, started)
    except BaseException:
        context.close()
        model.close()
        raise


@dataclass(slots=True)
class _Answer:
    """An answer as it grows."""

    ids: list[int] = field(default_factory=list)
    data: bytes = b""
    probabilities: list[float] | None = None
    finished: bool = False

    @property
    def text(self) -> str:
        """Without the blank that T5 puts in front of every text."""
        return self.data.decode("utf-8", "replace").removeprefix(" ")


class Seq2Seq:
    """A loaded T5. See `runner.Runner`."""

    def __init__(
        self, header: GgufHeader, model: Model, context: Context, note: str, started: float
    ) -> None:
        self._model = model
        self._context = context
        self._size = context.options.context
        self._decoder = Decoder(model, context)
        self._pad = int(lib.llama_vocab_pad(model.vocab))
        self.info = ModelInfo(
            name=header.name,
            architecture=header.architecture,
            kind="seq2seq",
            context=self._size,
            trained_context=model.trained_context,
            size_bytes=header.size_bytes,
            parameters=model.parameters,
            device=model.device,
            gpu_layers=model.gpu_layers,
            threads=context.options.threads,
            load_ms=(time.perf_counter() - started) * 1000,
            note=" ".join(filter(None, [note, own_keys(header).note])),
        )

    def run(self, request: Request, emit: Emit, cancelled: Cancelled) -> None:
        """Answer a `Write`. Cancelled, the prompts not reached have empty, unfinished outputs."""
        if not isinstance(request, Write):
            raise EngineError(f"A T5 model cannot answer {type(request).__name__}.")
        outputs: list[Output] = []
        total = len(request.prompts)

        def alive() -> None:
            emit(Progress(id=request.id, stage="write", done=len(outputs), total=total))

        for prompt in request.prompts:
            outputs.append(self._write(prompt, request, alive, cancelled))
            alive()
        emit(Written(id=request.id, outputs=outputs))

    def close(self) -> None:
        """Free context and model."""
        self._decoder.close()
        self._context.close()
        self._model.close()

    def _write(
        self,
        prompt: Sequence[Segment],
        request: Write,
        alive: Callable[[], None],
        cancelled: Cancelled,
    ) -> Output:
        answer = _Answer()
        truncated = False
        if not cancelled():
            ids, truncated = t5_prompt.encode(self._model, prompt, self._size)
            self._decoder.read(ids)
            self._answer(answer, request, alive, cancelled)
        return Output(
            text=answer.text,
            probabilities=answer.probabilities,
            finished=answer.finished,
            truncated=truncated,
        )

    def _answer(
        self, answer: _Answer, request: Write, alive: Callable[[], None], cancelled: Cancelled
    ) -> None:
        most = min(request.max_tokens, self._size - 1)
        labelled = False
        self._decoder.decode([self._decoder.start], 0)
        while len(answer.ids) < most and not cancelled():
            if len(answer.ids) % _TOKENS_A_SIGN == 0:
                alive()
            token = self._decoder.next()
            if self._model.is_eog(token):
                answer.finished = True
                return
            answer.ids.append(token)
            if token != self._pad:
                answer.data += self._model.piece(token, special=True)
            label = None if labelled else label_scores.label_in(answer.text, request.labels)
            if label is None:
                self._decoder.decode([token], len(answer.ids))
                continue
            labelled = True
            answer.probabilities = self._scores(answer.ids, label, request.labels)
            if label in request.brief:
                answer.finished = True
                return
            self._decoder.decode([self._decoder.start, *answer.ids], 0)

    def _scores(self, ids: Sequence[int], label: str, labels: Sequence[str]) -> list[float] | None:
        """The labels' probabilities where `ids` ends with one; None if the tokens do not fit.

        Leaves something else in the decoder.
        """
        rows = label_scores.label_tokens(ids, label, labels, self._tokenize)
        if rows is None:
            return None
        own = rows[labels.index(label)]
        at = len(ids) - len(own)
        before = ids[at - 1] if at else self._decoder.start
        return label_scores.score(self._decoder, before, at, own, rows)

    def _tokenize(self, label: str) -> list[int]:
        return self._model.tokenize(label, special=True)
