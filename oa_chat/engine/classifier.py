"""Encoders with a classification head: probabilities for each label; also embeddings.

Runs in a child process only. What of a long text is judged, and why: `looks`.

How a passage becomes token ids: `passage_ids`.

What a label means is not decided here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from oa_chat.engine import cuts
from oa_chat.engine.cuts import Ids
from oa_chat.engine.encoder import MEAN, RANK, Encoder
from oa_chat.engine.gguf_header import GgufHeader, require_kind
from oa_chat.engine.looks import LEAST_CONTEXT, Scores
from oa_chat.engine.native import Model, choose_threads, lib, open_model
from oa_chat.engine.own_keys import DEFAULT_MAX_TOKENS, OwnKeys, own_keys
from oa_chat.engine.passage_ids import PassageIds
from oa_chat.engine.protocol import (
    Classified,
    Classify,
    Embed,
    Embedded,
    Load,
    ModelInfo,
    OnProgress,
    Progress,
    Request,
)
from oa_chat.engine.runner import Cancelled, Emit
from oa_chat.errors import EngineError, ModelError, WrongModelKind


def load(request: Load, emit: Emit) -> Classifier:
    """Load a classifier. Raises `ModelError`s; `WrongModelKind` before llama.cpp can abort."""
    started = time.perf_counter()
    path = Path(request.path)
    header = require_kind(path, "classifier", "guard")
    _require_head(header)

    def report(done: int, total: int) -> None:
        emit(Progress(id=request.id, stage="load", done=done, total=total))

    try:
        return _open(header, request, request.gpu_layers, report, started)
    except ModelError:
        if request.gpu_layers == 0 or not lib.llama_supports_gpu_offload():
            raise
    return _open(header, request, 0, report, started)


def _open(
    header: GgufHeader, request: Load, gpu_layers: int, report: OnProgress, started: float
) -> Classifier:
    model = open_model(header.path, gpu_layers, report)
    try:
        return Classifier(header, model, request, started)
    except BaseException:
        model.close()
        raise


class Classifier:
    """A loaded classifier. See `runner.Runner`."""

    def __init__(self, header: GgufHeader, model: Model, request: Load, started: float) -> None:
        self._model = model
        self._labels = _labels(model)
        own = own_keys(header)
        self._temperature = own.temperature
        self._max_tokens = _max_tokens(model, own, request.context)
        # Two threads halve the time on idle cores (10 ms, not 18, for 64 tokens), but the guard
        # runs beside the chat's prefill: on busy cores ten words took 38 ms (p95: 73) with one
        # thread and 256 ms (p95: 2,837) with two, because the threads wait for each other.
        self._threads = choose_threads(header.size_bytes, request.threads)
        first = int(lib.llama_vocab_bos(model.vocab))
        separator = int(lib.llama_vocab_sep(model.vocab))
        if separator < 0:
            separator = int(lib.llama_vocab_eos(model.vocab))
        if min(first, separator) < 0:
            raise WrongModelKind(
                f"{model.path.name} has no tokens for the start and end of a text.",
                "Convert it again, with its tokenizer.",
            )
        self._ids = PassageIds(
            first, separator, self._max_tokens, model, own.separators, own.closer_looks
        )
        self._judge = Encoder(model, RANK, self._max_tokens, self._threads)
        self._embedder: Encoder | None = None
        self.info = ModelInfo(
            name=header.name,
            architecture=header.architecture,
            kind="classifier",
            context=self._max_tokens,
            trained_context=model.trained_context,
            size_bytes=header.size_bytes,
            parameters=model.parameters,
            device=model.device,
            gpu_layers=model.gpu_layers,
            threads=self._threads,
            labels=self._labels,
            temperature=own.temperature,
            load_ms=(time.perf_counter() - started) * 1000,
            note=own.note,
        )

    def run(self, request: Request, emit: Emit, cancelled: Cancelled) -> None:
        """Answer a `Classify` or an `Embed`.

        Cancelled, the answer holds an empty list for every text that was not judged to its end.
        """
        match request:
            case Classify():
                emit(self._classify(request, emit, cancelled))
            case Embed():
                emit(self._embed(request, emit, cancelled))
            case _:
                raise EngineError(f"A classifier cannot answer {type(request).__name__}.")

    def close(self) -> None:
        """Free contexts and model."""
        self._judge.close()
        if self._embedder is not None:
            self._embedder.close()
        self._model.close()

    def _embed(self, request: Embed, emit: Emit, cancelled: Cancelled) -> Embedded:
        if self._embedder is None:
            self._embedder = Encoder(self._model, MEAN, self._max_tokens, self._threads)
        texts = [self._ids.join(self._start(text)) for text in request.texts]
        vectors: list[list[float]] = []
        for batch in self._embedder.batches(texts):
            if cancelled():
                break
            vectors += map(_normalised, self._embedder.encode(batch))
            emit(Progress(id=request.id, stage="embed", done=len(vectors), total=len(texts)))
        missing = len(texts) - len(vectors)
        return Embedded(id=request.id, vectors=vectors + [[] for _ in range(missing)])

    def _start(self, text: str) -> list[int]:
        """The first tokens of a text, as many as fit."""
        room = self._max_tokens - 2
        ids: list[int] = []
        for sentence in cuts.sentences(text):
            ids += self._model.tokenize(sentence)
            if len(ids) >= room:
                break
        return ids[:room]

    def _classify(self, request: Classify, emit: Emit, cancelled: Cancelled) -> Classified:
        scores: dict[Ids, Scores] = {}

        def judge(texts: Iterable[Ids]) -> None:
            # Equal windows are judged once: repeated filler costs nothing.
            wanted = list(dict.fromkeys(ids for ids in texts if ids not in scores))
            total = len(scores) + len(wanted)
            for batch in self._judge.batches(wanted):
                if cancelled():
                    return
                rows = [_softmax(row, self._temperature) for row in self._judge.encode(batch)]
                scores.update(zip(batch, rows, strict=True))
                emit(Progress(id=request.id, stage="classify", done=len(scores), total=total))

        plans = [self._ids.plan(passage) for passage in request.passages]
        judge(ids for plan in plans for ids in plan.first_look())
        judge(ids for plan in plans for ids in plan.second_look(scores))
        return Classified(id=request.id, windows=[plan.windows(scores) for plan in plans])


def _require_head(header: GgufHeader) -> None:
    """Refuse what llama.cpp would abort on, or what the rows could not be named for."""
    if not header.labels or not {"cls.weight", "cls.output.weight"} & header.tensor_names:
        raise WrongModelKind(
            f"{header.path.name} is a classifier without labels or without its head.",
            "Convert it again, with classifier.output_labels and the cls tensors.",
        )
    if header.values.get(f"{header.architecture}.attention.causal") is not False:
        raise WrongModelKind(
            f"{header.path.name} is a classifier on a text-generating model"
            f" ({header.architecture}); only encoders such as BERT are known.",
            "Use a BERT, RoBERTa or ModernBERT classifier.",
        )


def _labels(model: Model) -> list[str]:
    count = int(lib.llama_model_n_cls_out(model.pointer))
    labels = [lib.llama_model_cls_label(model.pointer, number) for number in range(count)]
    return [(label or b"").decode("utf-8", "replace") for label in labels]


def _max_tokens(model: Model, own: OwnKeys, wanted: int) -> int:
    trained = model.trained_context
    limit = own.max_tokens or min(trained, DEFAULT_MAX_TOKENS)
    return max(LEAST_CONTEXT, min(limit, wanted or limit, trained))


def _softmax(logits: Sequence[float], temperature: float) -> Scores:
    highest = max(logits)
    weights = [math.exp((logit - highest) / temperature) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def _normalised(row: Sequence[float]) -> list[float]:
    length = math.hypot(*row) or 1.0
    return [value / length for value in row]
