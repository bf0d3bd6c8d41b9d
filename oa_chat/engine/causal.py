"""The runner for text-generating models: chat models, causal guards, rule writers.

One context, one sequence; what is evaluated stays in the cache for the next request. Here a request
becomes a prompt that fits; `generation` has the loop over tokens. Runs in a child process only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oa_chat.conversation import Message
from oa_chat.engine.fitting import (
    SMALLEST_CONTEXT,
    room_for,
    turns_to_skip,
    wanted_context,
    without_turns,
)
from oa_chat.engine.generation import Generation, Generator
from oa_chat.engine.gguf_header import GgufHeader, require_kind
from oa_chat.engine.judging import Judging
from oa_chat.engine.native import (
    Context,
    ContextOptions,
    Model,
    choose_threads,
    lib,
    open_both,
)
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.prefix_cache import PrefixCache
from oa_chat.engine.prompt_tokens import Encoded, PromptEncoder
from oa_chat.engine.protocol import (
    Complete,
    Judge,
    Load,
    ModelInfo,
    Piece,
    Prefill,
    Prefilled,
    Progress,
    Prompted,
    Reply,
    Request,
    Sampling,
)
from oa_chat.engine.runner import Cancelled, Emit, Runner
from oa_chat.engine.sampler import Choice, choose
from oa_chat.engine.text_stream import TextStream
from oa_chat.errors import ContextFull, EngineError
from oa_chat.prompts import ChatTemplate, Rendered

BATCH = 512


def load(request: Load, emit: Emit) -> Runner:
    """Load a model. Raises `ModelError`s; `WrongModelKind` before llama.cpp can abort."""
    started = time.perf_counter()
    path = Path(request.path)
    header = require_kind(path, "causal", "chat model")
    threads = choose_threads(header.size_bytes, request.threads)

    def options(model: Model) -> list[ContextOptions]:
        wanted = wanted_context(request.context, model.trained_context)
        sizes = [wanted]
        while sizes[-1] > 2 * SMALLEST_CONTEXT:
            sizes.append(sizes[-1] // 2)
        return [ContextOptions(size, min(BATCH, size), threads, outputs=1) for size in sizes]

    def report(done: int, total: int) -> None:
        emit(Progress(id=request.id, stage="load", done=done, total=total))

    model, context, note = open_both(path, request.gpu_layers, options, report)
    try:
        return CausalRunner(header, model, context, request, note, started)
    except BaseException:
        context.close()
        model.close()
        raise


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt that fits."""

    encoded: Encoded
    rendered: Rendered
    skipped: int


class CausalRunner:
    """A loaded text-generating model."""

    def __init__(
        self,
        header: GgufHeader,
        model: Model,
        context: Context,
        request: Load,
        note: str,
        started: float,
    ) -> None:
        self._file = header.sampling
        self._model = model
        self._context = context
        self._cache = PrefixCache(model, context)
        self._encoder = PromptEncoder(model)
        self._generator = Generator(model, context, self._cache)
        self._template = _template(header, model)
        self._warm_up()
        wanted = wanted_context(request.context, model.trained_context)
        self._size = min(context.size, context.options.context)  # llama.cpp rounds up
        self._judging = Judging(
            model, context, self._cache, self._encoder, self._template, self._size
        )
        self.info = ModelInfo(
            name=header.name,
            architecture=header.architecture,
            kind="causal",
            context=self._size,
            trained_context=model.trained_context,
            size_bytes=header.size_bytes,
            parameters=model.parameters,
            device=model.device,
            gpu_layers=model.gpu_layers,
            threads=context.options.threads,
            has_template=not self._template.assumed,
            prompt_format=own_keys(header).prompt_format,
            load_ms=(time.perf_counter() - started) * 1000,
            note=" ".join(filter(None, [note, own_keys(header).note, *self._notes(wanted)])),
        )

    def run(self, request: Request, emit: Emit, cancelled: Cancelled) -> None:
        """Answer a `Prefill`, `Reply`, `Complete` or `Judge`."""
        match request:
            case Prefill():
                self._prefill(request, emit, cancelled)
            case Reply():
                choice = choose(request.sampling, self._file)
                prompt = self._fit(request.messages, request.skipped, choice.max_tokens)
                generation = self._generate(request, prompt, choice, emit, cancelled)
                rendered = prompt.rendered
                before = "" if rendered.defused else rendered.segments[-1].text
                self._encoder.remember_reply(generation.text, generation.made, before)
            case Complete():
                choice = choose(request.sampling, self._file, greedy=True)
                self._generate(request, self._raw(request), choice, emit, cancelled)
            case Judge():
                self._judging.run(request, emit, cancelled)
            case _:
                kind = type(request).__name__
                raise EngineError(f"A text-generating model cannot answer {kind}.")

    def close(self) -> None:
        """Free context and model."""
        self._context.close()
        self._model.close()

    def _warm_up(self) -> None:
        """Touch all weights once, so that loading, not the first reply, pays for reading them."""
        lib.llama_set_warmup(self._context.pointer, True)
        self._cache.append(self._model.bos or 0)
        lib.llama_set_warmup(self._context.pointer, False)
        self._cache.clear()

    def _notes(self, wanted: int) -> list[str]:
        notes = []
        if self._size < wanted:
            notes.append(f"Only a context of {self._size} tokens fits into memory, not {wanted}.")
        if self._size > self._model.trained_context > 0:
            trained = self._model.trained_context
            notes.append(f"It was trained with {trained} tokens; beyond, replies may get worse.")
        if self._template.problem:
            notes.append(f"{self._template.problem} ChatML is used, which may not suit it.")
        return notes

    # ------------------------------------------------------------ prompts

    def _fit(self, messages: Sequence[Message], skipped: int, max_tokens: int) -> _Prompt:
        if not messages or messages[-1].role != "user":
            raise EngineError("A transcript must end with a user's message.")
        made: dict[int, _Prompt] = {}

        def count(skip: int) -> int:
            if skip not in made:
                rendered = self._template.render(without_turns(messages, skip))
                encoded = self._encoder.encode(rendered.segments, self._cache.ids)
                made[skip] = _Prompt(encoded, rendered, skip)
            return len(made[skip].encoded.ids)

        room = room_for(self._size, max_tokens, self._model.trained_context)
        chosen = turns_to_skip(messages, skipped, room, count)
        count(chosen)
        return made[chosen]

    def _raw(self, request: Complete) -> _Prompt:
        encoded = self._encoder.encode(request.segments)
        if not encoded.ids:
            raise EngineError("The prompt is empty.")
        if len(encoded.ids) >= self._size:
            raise ContextFull(
                f"The prompt needs {len(encoded.ids):,} tokens, the context holds {self._size}.",
                "Shorten it, or use a larger context.",
            )
        tail = "".join(segment.text for segment in request.segments)
        return _Prompt(encoded, Rendered(tuple(request.segments), tail), 0)

    def _prefill(self, request: Prefill, emit: Emit, cancelled: Cancelled) -> None:
        choice = choose(Sampling(max_tokens=request.max_tokens), self._file)
        prompt = self._fit(request.messages, request.skipped, choice.max_tokens)
        ids = prompt.encoded.ids
        if not self._cache.can_rewind:
            # Its end may change, and could not be taken back.
            ids = ids[: max(1, prompt.encoded.newest_end - 1)]
        cached = self._cache.keep(ids, logits=False)
        self._cache.evaluate(ids, cancelled, _progress(request.id, emit))
        done = min(len(self._cache.ids), len(ids))
        emit(Prefilled(id=request.id, tokens=done, cached=cached, skipped=prompt.skipped))

    def _generate(
        self,
        request: Reply | Complete,
        prompt: _Prompt,
        choice: Choice,
        emit: Emit,
        cancelled: Cancelled,
    ) -> Generation:
        """Evaluate and generate, from `Prompted` to `Done`."""
        ids = prompt.encoded.ids
        started = time.perf_counter()
        emit(
            Prompted(
                id=request.id,
                tokens=len(ids),
                cached=self._cache.keep(ids, logits=True),
                skipped=prompt.skipped,
                context=self._size,
                tail=prompt.rendered.tail,
            )
        )
        stream = TextStream(
            lambda text, tokens: emit(Piece(id=request.id, text=text, tokens=tokens)),
            stop=request.stop if isinstance(request, Complete) else (),
            trim_start=isinstance(request, Reply),
        )
        generation = Generation(started=started)
        if self._cache.evaluate(ids, cancelled, _progress(request.id, emit)):
            room = self._size - len(self._cache.ids)
            self._generator.run(generation, choice, room, stream, cancelled)
        stream.end()
        generation.text = stream.text
        emit(generation.done(request.id, used=len(self._cache.ids), seed=choice.seed))
        return generation


def _progress(number: int, emit: Emit) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        emit(Progress(id=number, stage="prefill", done=done, total=total))

    return report


def _template(header: GgufHeader, model: Model) -> ChatTemplate:
    def text(token: int) -> str:
        return model.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    controls = (text(token) for token in range(model.n_vocab) if model.is_control(token))
    return ChatTemplate(
        header.chat_template,
        bos=text(lib.llama_vocab_bos(model.vocab)),
        eos=text(lib.llama_vocab_eos(model.vocab)),
        controls=controls,
    )
