"""The low-level llama.cpp binding, imported quietly: its library, log and devices.

Importing this module loads native code, so only child processes may do it. See `native` for the
names that runners use.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oa_chat.errors import ModelError


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
_levels = deque([0], maxlen=1)
"""The level of the newest line: continued lines belong to it."""


def _on_log(level: int, text: bytes | None, _: object) -> None:
    if level != _CONTINUED:
        _levels.append(level)
    if _levels[0] < _WARN and not os.environ.get("OA_CHAT_ENGINE_LOG"):
        return
    line = (text or b"").decode("utf-8", "replace")
    sys.stderr.write(line)
    if line.strip():
        _tail.append(line.strip())


# Kept for as long as the process lives: llama.cpp holds the pointer.
_log_callback = lib.llama_log_callback(_on_log)
lib.llama_log_set(_log_callback, ctypes.c_void_p(0))
lib.llama_backend_init()


def forget_log() -> None:
    """Drop what was logged so far, so that `recent_log` is about what comes now."""
    _tail.clear()


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
        ggml, base = _ggml()
        return [_device(base, pointer) for pointer in _device_pointers(ggml)]
    except (OSError, AttributeError, FileNotFoundError):
        return []


def backends() -> list[str]:
    """What this build can compute with, such as "CPU" or "CUDA"; empty when it cannot say."""
    try:
        ggml, base = _ggml()
        ggml.ggml_backend_reg_count.restype = ctypes.c_size_t
        ggml.ggml_backend_reg_get.argtypes = [ctypes.c_size_t]
        ggml.ggml_backend_reg_get.restype = ctypes.c_void_p
        base.ggml_backend_reg_name.argtypes = [ctypes.c_void_p]
        base.ggml_backend_reg_name.restype = ctypes.c_char_p
        pointers = [ggml.ggml_backend_reg_get(i) for i in range(ggml.ggml_backend_reg_count())]
        return [base.ggml_backend_reg_name(it).decode("utf-8", "replace") for it in pointers]
    except (OSError, AttributeError, FileNotFoundError):
        return []


def _ggml() -> tuple[Any, Any]:
    """The libraries below llama.cpp: registry and base. They are loaded already."""
    shared = importlib.import_module("llama_cpp._ctypes_extensions")
    libraries = Path(lib.__file__).parent / "lib"
    load = shared.load_shared_library
    return load("ggml", libraries), load("ggml-base", libraries)


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
