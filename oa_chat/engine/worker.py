"""The child process that runs one model: ``python -m oa_chat.engine.worker``.

Requests come as JSON lines on stdin, answers leave as JSON lines on what was stdout; everything
that native code prints goes to stderr. A thread reads, so that `Cancel` and the parent's end are
noticed while the main thread computes: when stdin closes, the process ends at once, whatever it
is doing. Which model answers how is up to the runners.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

import msgspec

from oa_chat.engine.protocol import Answer, Cancel, Load, Loaded, Refused, Request
from oa_chat.engine.runner import Cancelled, Emit, Runner
from oa_chat.errors import EngineError, OaChatError

_RUNNERS = {
    "causal": "oa_chat.engine.causal",
    "classifier": "oa_chat.engine.classifier",
    "seq2seq": "oa_chat.engine.seq2seq",
}
"""Modules with ``load(request, emit) -> Runner``; imported when a model of the kind is loaded."""


def main() -> None:
    """Serve requests until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent
    _die_with_parent()
    os.environ["GGML_NO_BACKTRACE"] = "1"
    wire = os.dup(1)
    os.dup2(2, 1)
    inbox = Inbox(sys.stdin.buffer)
    threading.Thread(target=inbox.read, name="reader", daemon=True).start()
    serve(inbox, Outbox(wire).emit)


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its parent, even while it is stopped."""
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _peak_memory() -> int:
    """The most memory that this process has had, in bytes; 0 on Windows, which tells otherwise."""
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of either
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _leave(code: int) -> NoReturn:
    """End at once: a reader thread cannot unwind what the main thread does in native code."""
    sys.stderr.flush()
    os._exit(code)


class Outbox:
    """Writes answers, a line each."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._encode = msgspec.json.Encoder().encode

    def emit(self, answer: Answer) -> None:
        """Send an answer; without a parent to read it, end."""
        data = memoryview(self._encode(answer) + b"\n")
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            _leave(1)


class Inbox:
    """Takes requests from stdin, in a thread of its own."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = msgspec.json.Decoder(Request).decode
        self._open: set[int] = set()
        self._cancelled: set[int] = set()
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def read(self) -> None:
        """Read until stdin closes, then end the process."""
        try:
            for line in self._stream:
                self._take(line)
        finally:
            _leave(0)

    def _take(self, line: bytes) -> None:
        try:
            request = self._decode(line)
        except (msgspec.MsgspecError, RecursionError) as error:
            print(f"engine: not a request: {error}", file=sys.stderr)  # noqa: T201
            return
        if isinstance(request, Cancel):
            if request.id in self._open:  # else it has ended
                self._cancelled.add(request.id)
        else:
            self._open.add(request.id)
            self.requests.put(request)

    def cancelled(self, number: int) -> Cancelled:
        """A function that says whether request `number` should stop."""
        cancelled = self._cancelled
        return lambda: number in cancelled

    def forget(self, number: int) -> None:
        """Request `number` has ended. Others may wait and be cancelled, with lower numbers too."""
        self._open.discard(number)
        self._cancelled.discard(number)


def serve(inbox: Inbox, emit: Emit) -> NoReturn:
    """Answer one request after the other, for ever."""
    runner: Runner | None = None
    while True:
        request = inbox.requests.get()
        try:
            if isinstance(request, Load):
                if runner is not None:
                    runner.close()
                    runner = None
                runner = _load(request, emit)
                info = msgspec.structs.replace(runner.info, memory_bytes=_peak_memory())
                emit(Loaded(id=request.id, info=info))
            elif runner is None:
                raise EngineError("No model is loaded.")
            else:
                runner.run(request, emit, inbox.cancelled(request.id))
        except OaChatError as error:
            name = type(error).__name__
            emit(Refused(id=request.id, error=name, message=error.message, hint=error.hint))
        except Exception as error:  # noqa: BLE001 - the parent must hear of it, whatever it is
            traceback.print_exc()
            message = f"The engine failed: {type(error).__name__}: {error}"[:500]
            emit(Refused(id=request.id, error="EngineError", message=message))
        inbox.forget(request.id)


def _load(request: Load, emit: Emit) -> Runner:
    module: Any = importlib.import_module(_RUNNERS[request.kind])
    load: Callable[[Load, Emit], Runner] = module.load
    return load(request, emit)


if __name__ == "__main__":
    main()
