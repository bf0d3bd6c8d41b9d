"""A loaded model and its vocabulary: metadata, tokenising, the bytes of a token.

Loading alone; what is computed with it is in `context` and the runners. Child processes only.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oa_chat.engine.binding import devices, forget_log, lib, recent_log
from oa_chat.engine.protocol import OnProgress
from oa_chat.errors import ModelError, ModelUnreadable

_MARK = "\x01"
"""Never part of a merge: vocabularies hold it as a single byte, if at all."""


LONGEST_CHUNK = 4096
"""Characters that are tokenised at once: llama.cpp takes quadratic time (300,000 took 20 s)."""


def chunks(text: str) -> Iterator[str]:
    """Pieces of a long text, cut in front of blanks where tokens do not reach across."""
    start = 0
    while len(text) - start > LONGEST_CHUNK:
        end = start + LONGEST_CHUNK
        blank = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
        while blank > start and text[blank - 1].isspace():
            blank -= 1
        end = blank if blank > start else end
        yield text[start:end]
        start = end
    yield text[start:]


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
        if len(text) > LONGEST_CHUNK and not ends:
            ids: list[int] = []
            for chunk in chunks(text):
                ids += self.tokenize(chunk, special, continues=continues or bool(ids))
            return ids
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

    def is_user_defined(self, token: int) -> bool:
        """Whether the token is found in text even when control tokens are not looked for."""
        return bool(lib.llama_vocab_get_attr(self.vocab, token) & 0b10000)

    @property
    def bos(self) -> int | None:
        """The token that must start a prompt; None if the file wants none."""
        token = int(lib.llama_vocab_bos(self.vocab))
        return token if token >= 0 and lib.llama_vocab_get_add_bos(self.vocab) else None

    @property
    def device(self) -> str:
        """Where it runs, such as "CPU" or "CUDA0 (24/24 layers)"."""
        if not self.gpu_layers:  # asking a GPU for its memory would take some of it
            return "CPU"
        gpus = [device.name for device in devices() if device.gpu]
        if not gpus:
            return "CPU"
        return f"{'+'.join(gpus)} ({self.gpu_layers}/{self.layers} layers)"

    def close(self) -> None:
        """Free the model; contexts on it must be closed first."""
        if self.pointer:
            lib.llama_model_free(self.pointer)
            self.pointer = None


def open_model(path: Path, gpu_layers: int, on_progress: OnProgress | None = None) -> Model:
    """Load a model with this many layers on GPUs (-1: all).

    Raises `ModelUnreadable` when the file is broken or of an unknown architecture, `ModelError`
    when there is not enough memory. Checks for the model's kind come before: see `gguf_header`.
    """
    if not lib.llama_supports_gpu_offload():
        gpu_layers = 0
    params = lib.llama_model_default_params()
    params.n_gpu_layers = gpu_layers
    none = (ctypes.c_void_p * 1)(None)
    if gpu_layers == 0:
        # llama.h: a NULL-terminated list of devices; no list at all means every device, and a model
        # without layers there would still hold buffers on it and send long prompts to it.
        params.devices = ctypes.addressof(none)

    def report(fraction: float, _: object) -> bool:
        if on_progress is not None:
            on_progress(round(fraction * 100), 100)
        return True

    params.progress_callback = callback = lib.llama_progress_callback(report)
    forget_log()
    pointer = lib.llama_model_load_from_file(os.fsencode(path), params)
    del callback, none
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
