"""llama.cpp as this project uses it: loading, tokens, contexts, devices; child processes only.

A thin, typed layer over the low-level binding: everything untyped stays in here and in the runners
(`causal`, `classifier`, `seq2seq`), which call `lib` for decoding. The high-level `Llama` class is
not used: it redirects the process's file descriptors, aborts on T5 and tokenises untrusted text
with control tokens on. Importing this module loads the native libraries, so the parent process
must not import it.

    model, context, note = open_both(path, gpu_layers, [ContextOptions(...), ...], on_progress)
    ids = model.tokenize("untrusted text")
    lib.llama_decode(context.pointer, context.batch(ids))
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oa_chat.engine.cores import choose_threads
from oa_chat.errors import ModelError, ModelUnreadable

__all__ = [
    "Context",
    "ContextOptions",
    "Device",
    "Model",
    "choose_threads",
    "devices",
    "lib",
    "open_both",
    "open_context",
    "open_model",
    "recent_log",
    "system_info",
]

OnProgress = Callable[[int, int], None]
"""Called with (done, total) while a model loads."""


def _import_low_level() -> Any:
    """The module `llama_cpp.llama_cpp` without its package's `__init__`.

    That `__init__` imports the high-level API with numpy, diskcache and more: 160 of 200 ms. The
    bare package stands in for it meanwhile and is taken away again, so a later
    ``import llama_cpp`` works as ever.
    """
    if "llama_cpp" in sys.modules:
        return importlib.import_module("llama_cpp.llama_cpp")
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None:
        raise ModelError("llama-cpp-python is not installed.", "pip install llama-cpp-python")
    sys.modules["llama_cpp"] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    finally:
        del sys.modules["llama_cpp"]


os.environ.setdefault("GGML_NO_BACKTRACE", "1")
lib: Any = _import_low_level()
"""The low-level binding: `lib.llama_decode` and so on."""

# ---------------------------------------------------------------- log

_WARN, _ERROR, _CONTINUED = 3, 4, 5  # enum ggml_log_level
_tail: deque[str] = deque(maxlen=40)
_last_level = 0


def _on_log(level: int, text: bytes | None, _: object) -> None:
    global _last_level
    if level != _CONTINUED:
        _last_level = level
    if _last_level < _WARN and not os.environ.get("OA_CHAT_ENGINE_LOG"):
        return
    line = (text or b"").decode("utf-8", "replace")
    sys.stderr.write(line)
    if line.strip():
        _tail.append(line.strip())


# Kept for as long as the process lives: llama.cpp holds the pointer.
_log_callback = lib.llama_log_callback(_on_log)
lib.llama_log_set(_log_callback, ctypes.c_void_p(0))
lib.llama_backend_init()


def recent_log(lines: int = 3) -> str:
    """llama.cpp's last warnings and errors as one line, shortened."""
    return " | ".join(list(_tail)[-lines:])[-600:]


# ---------------------------------------------------------------- devices


@dataclass(frozen=True, slots=True)
class Device:
    """A device that llama.cpp can compute on."""

    name: str
    """Such as "CPU", "CUDA0" or "Metal"."""
    description: str
    gpu: bool
    free_bytes: int
    total_bytes: int


def devices() -> list[Device]:
    """All devices of this build of llama.cpp; empty when it cannot say."""
    try:
        shared = importlib.import_module("llama_cpp._ctypes_extensions")
        libraries = Path(lib.__file__).parent / "lib"
        ggml: Any = shared.load_shared_library("ggml", libraries)
        base: Any = shared.load_shared_library("ggml-base", libraries)
        return [_device(base, pointer) for pointer in _device_pointers(ggml)]
    except (OSError, AttributeError, FileNotFoundError):
        return []


def _device_pointers(ggml: Any) -> list[int]:
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    return [ggml.ggml_backend_dev_get(i) for i in range(ggml.ggml_backend_dev_count())]


def _device(base: Any, pointer: int) -> Device:
    for name in ("ggml_backend_dev_name", "ggml_backend_dev_description"):
        getattr(base, name).argtypes = [ctypes.c_void_p]
        getattr(base, name).restype = ctypes.c_char_p
    base.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    size_pointer = ctypes.POINTER(ctypes.c_size_t)
    base.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size_pointer, size_pointer]
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    base.ggml_backend_dev_memory(pointer, ctypes.byref(free), ctypes.byref(total))
    return Device(
        name=base.ggml_backend_dev_name(pointer).decode("utf-8", "replace"),
        description=base.ggml_backend_dev_description(pointer).decode("utf-8", "replace"),
        gpu=base.ggml_backend_dev_type(pointer) in (1, 2),  # GPU and integrated GPU
        free_bytes=free.value,
        total_bytes=total.value,
    )


def system_info() -> str:
    """What the CPU code was built for, as llama.cpp prints it."""
    return str(lib.llama_print_system_info().decode("utf-8", "replace"))


# ---------------------------------------------------------------- models


class Model:
    """A loaded model and its vocabulary. Made by `open_model`; `close` frees it."""

    def __init__(self, pointer: Any, path: Path, gpu_layers: int) -> None:
        self.pointer = pointer
        self.path = path
        self.vocab: Any = lib.llama_model_get_vocab(pointer)
        self.layers = int(lib.llama_model_n_layer(pointer))
        self.gpu_layers = gpu_layers if 0 <= gpu_layers <= self.layers else self.layers
        """Layers that run on a GPU; 0 is CPU only."""
        self.n_vocab = int(lib.llama_vocab_n_tokens(self.vocab))
        self.parameters = int(lib.llama_model_n_params(pointer))
        self.size_bytes = int(lib.llama_model_size(pointer))
        self.trained_context = int(lib.llama_model_n_ctx_train(pointer))
        space = self.meta("tokenizer.ggml.add_space_prefix") != "false"
        # SentencePiece vocabularies (type 1) put a space in front of text; BPE ones do not.
        self._spaced = space and int(lib.llama_vocab_type(self.vocab)) == 1
        self._mark = self._tokenize(_MARK, False, False) if self._spaced else []
        self._piece_buffer = ctypes.create_string_buffer(512)

    def meta(self, key: str) -> str | None:
        """A value of the file's metadata as text; None if it has none."""
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = lib.llama_model_meta_val_str(self.pointer, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode("utf-8", "replace")
            size = length + 1

    @property
    def description(self) -> str:
        """Such as "llama 7B Q8_0"."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self.pointer, buffer, 256)
        return buffer.value.decode("utf-8", "replace")

    def tokenize(
        self, text: str, special: bool = False, *, continues: bool = False, ends: bool = False
    ) -> list[int]:
        """Token ids of `text`.

        `special` recognises control tokens: for trusted text only. `continues` says that the text
        goes on from text, not from a control token or the start: then SentencePiece puts no space
        in front. `ends` adds what the file wants around a whole text (BOS, EOS, CLS, SEP).
        """
        if continues and self._spaced and text:
            ids = self._tokenize(_MARK + text, ends, special)
            if ids[: len(self._mark)] == self._mark:
                return ids[len(self._mark) :]
        return self._tokenize(text, ends, special)

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            ids = (ctypes.c_int32 * room)()
            count = lib.llama_tokenize(
                self.vocab, data, len(data), ids, room, add_special, parse_special
            )
            if count >= 0:
                return ids[:count]
            if count == -(2**31):
                raise ModelError("The text is too long for the tokenizer.")
            room = -count

    def piece(self, token: int, special: bool = False) -> bytes:
        """The bytes a token stands for; control tokens give nothing unless `special`."""
        buffer = self._piece_buffer
        length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = self._piece_buffer = ctypes.create_string_buffer(-length)
            length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:length]

    def is_eog(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    def is_control(self, token: int) -> bool:
        """Whether the token is a control token (never shown)."""
        return bool(lib.llama_vocab_is_control(self.vocab, token))

    def is_special(self, token: int) -> bool:
        """Whether the token is control, unknown or user-defined: no text merges into it."""
        return bool(lib.llama_vocab_get_attr(self.vocab, token) & 0b11001)

    @property
    def device(self) -> str:
        """Where it runs, such as "CPU" or "CUDA0 (24/24 layers)"."""
        gpus = [device.name for device in devices() if device.gpu]
        if not self.gpu_layers or not gpus:
            return "CPU"
        return f"{'+'.join(gpus)} ({self.gpu_layers}/{self.layers} layers)"

    def close(self) -> None:
        """Free the model; contexts on it must be closed first."""
        if self.pointer:
            lib.llama_model_free(self.pointer)
            self.pointer = None


_MARK = "\x01"
"""Never part of a merge: vocabularies hold it as a single byte, if at all."""


def open_model(path: Path, gpu_layers: int, on_progress: OnProgress | None = None) -> Model:
    """Load a model with this many layers on GPUs (-1: all).

    Raises `ModelUnreadable` when the file is broken or of an unknown architecture, `ModelError`
    when there is not enough memory. Checks for the model's kind come before: see `gguf_header`.
    """
    if not lib.llama_supports_gpu_offload():
        gpu_layers = 0
    params = lib.llama_model_default_params()
    params.n_gpu_layers = gpu_layers

    def report(fraction: float, _: object) -> bool:
        if on_progress is not None:
            on_progress(round(fraction * 100), 100)
        return True

    params.progress_callback = callback = lib.llama_progress_callback(report)
    _tail.clear()
    pointer = lib.llama_model_load_from_file(os.fsencode(path), params)
    del callback
    if not pointer:
        raise _load_error(path)
    return Model(pointer, path, gpu_layers)


def _load_error(path: Path) -> ModelError:
    log = recent_log()
    lowered = log.lower()
    if "unknown model architecture" in lowered:
        name = lowered.split("unknown model architecture:")[-1].split("|")[0].strip(" '")
        return ModelUnreadable(
            f"{path.name}: this version of llama.cpp does not know the architecture '{name}'.",
            "Update llama-cpp-python, or use another model.",
        )
    if "alloc" in lowered or "out of memory" in lowered:
        return ModelError(
            f"{path.name}: there is not enough memory to load it ({log}).",
            "Close other programs, or use a smaller or more strongly quantised model.",
        )
    return ModelUnreadable(
        f"{path.name}: llama.cpp cannot load it ({log or 'no reason given'}).",
        "The file may be damaged: download or convert it again.",
    )


# ---------------------------------------------------------------- contexts


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """What a context should be. The defaults suit generating text."""

    context: int
    """Tokens it can hold."""
    batch: int = 512
    """Tokens that one call can evaluate; encoders need all of a text at once."""
    threads: int = 1
    flash_attention: int = 1
    """1 on, 0 off, -1 llama.cpp decides."""
    embeddings: bool = False
    pooling: int = -1
    """-1 as the file says, 0 none, 1 mean, 4 rank (classifiers)."""


class Context:
    """A context on a model. Made by `open_context`; `close` frees it, the model stays."""

    def __init__(self, pointer: Any, options: ContextOptions) -> None:
        self.pointer = pointer
        self.options = options
        self.memory: Any = lib.llama_get_memory(pointer)
        self.size = int(lib.llama_n_ctx(pointer))

    def batch(self, ids: Sequence[int]) -> Any:
        """A batch of these tokens behind what is in the context; logits for the last one.

        The tokens' memory belongs to the batch and lives as long as it does.
        """
        tokens = (ctypes.c_int32 * len(ids))(*ids)
        batch = lib.llama_batch_get_one(tokens, len(ids))
        batch.owner = tokens
        return batch

    def close(self) -> None:
        """Free the context."""
        if self.pointer:
            lib.llama_free(self.pointer)
            self.pointer = None


def open_context(model: Model, options: ContextOptions) -> Context:
    """Make a context. Raises `ModelError` if llama.cpp refuses, mostly for want of memory."""
    params = lib.llama_context_default_params()
    params.n_ctx = options.context
    params.n_batch = params.n_ubatch = min(options.batch, options.context)
    params.n_threads = params.n_threads_batch = options.threads
    params.flash_attn_type = options.flash_attention
    params.embeddings = options.embeddings
    params.pooling_type = options.pooling
    params.no_perf = True
    pointer = lib.llama_init_from_model(model.pointer, params)
    if not pointer:
        raise ModelError(
            f"{model.path.name}: no context of {options.context} tokens could be made"
            f" ({recent_log() or 'no reason given'}).",
            "Try a smaller context (--context) or a smaller model.",
        )
    return Context(pointer, options)


def open_both(
    path: Path,
    gpu_layers: int,
    options: Callable[[Model], Sequence[ContextOptions]],
    on_progress: OnProgress | None = None,
) -> tuple[Model, Context, str]:
    """Load a model and make the first context that works; the string is a note for the user.

    `options` gives the contexts to try, best first, and may raise. On a GPU that is too small,
    everything is tried again with half the layers, down to none. Raises like `open_model`.
    """
    layers = gpu_layers if lib.llama_supports_gpu_offload() else 0
    wanted = layers
    while True:
        model: Model | None = None
        try:
            model = open_model(path, layers, on_progress)
            context = _first_context(model, options(model))
        except ModelError as error:
            layers_now = model.gpu_layers if model else (64 if layers < 0 else layers)
            if model:
                model.close()
            if layers == 0 or isinstance(error, ModelUnreadable) and not _about_memory():
                raise
            layers = layers_now // 2
            continue
        note = f"Only {layers} layers fit on the GPU." if layers != wanted else ""
        return model, context, note


def _about_memory() -> bool:
    lowered = recent_log(10).lower()
    return "alloc" in lowered or "memory" in lowered


def _first_context(model: Model, options: Sequence[ContextOptions]) -> Context:
    failure: ModelError | None = None
    for option in options:
        for flash in dict.fromkeys((option.flash_attention, -1, 0)):
            try:
                return open_context(model, replace(option, flash_attention=flash))
            except ModelError as error:
                failure = failure or error
    raise failure or ModelError(f"{model.path.name}: no context was asked for.")
