"""One engine process as the parent sees it: its pipes, its last words and its end.

Knows lines of JSON and silence, but not what the requests mean: that is `process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from typing import Any

import msgspec

from oa_chat.engine.command import command, environment
from oa_chat.engine.protocol import Answer, Request
from oa_chat.errors import EngineDied, EngineError, EngineSilent

LONGEST_LINE = 64 * 2**20
"""Bytes of one answer: embeddings of many texts come in one line."""
_LAST_WORDS = 8192
_SUSPENDED_GRACE_S = 1.0
_AGAIN = "The model is loaded again when it is needed next."


class Child:
    """A running engine process. Made by `start`; `kill` ends it for certain."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Answer).decode
        self._last_words = b""
        self._ended = False
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, name: str) -> Child:
        """Start a process; `name` is the model's, for messages. Raises `EngineError`."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command("oa_chat.engine.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                limit=LONGEST_LINE,
                env=environment(),
                **_apart(),
            )
        except OSError as error:
            message = f"The engine's process cannot be started ({error.strerror})."
            raise EngineError(message, "Is there enough memory?") from None
        return cls(process, name)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be used: it runs, as far as is known, and nobody has ended it."""
        return not self._ended and self._process.returncode is None

    def send(self, request: Request) -> None:
        """Queue a request for sending. A dead process shows when an answer is awaited."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            return
        try:
            line = self._encode(request)
        except UnicodeEncodeError:  # half a character, as terminals may paste it
            text = json.dumps(msgspec.to_builtins(request), ensure_ascii=False)
            line = text.encode("utf-8", "replace")
        stdin.write(line + b"\n")

    async def answer(self, silence: float) -> Answer:
        """The next answer. Raises `EngineDied`, or `EngineSilent` after `silence` seconds."""
        line = await self._line(silence)
        try:
            answer: Answer = self._decode(line)
        except msgspec.MsgspecError:
            await self.kill()
            shown = line[:80].decode("utf-8", "replace")
            raise EngineError(f"The engine said something unreadable: {shown}", _AGAIN) from None
        return answer

    async def _line(self, silence: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        # The second, short wait is for a program that was suspended (Ctrl+Z) meanwhile: on waking
        # up its clock has run out, though the answer lies in the pipe.
        for seconds in (silence, _SUSPENDED_GRACE_S):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    try:
                        line = await stdout.readline()
                    except (ValueError, ConnectionError):  # too long a line, or a broken pipe
                        line = b""
                if line.endswith(b"\n"):
                    return line
                raise await self._died()
        await self.kill()
        raise EngineSilent(
            f"The engine of {self._name} gave no sign of life for {silence:.0f} seconds and was"
            " ended.",
            _AGAIN,
        )

    async def _died(self) -> EngineDied:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):  # its pipe may close a moment before it ends
                await self._process.wait()
        await self.kill()
        how = describe_end(self._process.returncode)
        said = condense(self._last_words.decode("utf-8", "replace"))
        # What was logged before a kill from outside has nothing to do with it.
        said = f" It said: {said}" if said and "SIGKILL" not in how else ""
        return EngineDied(f"The engine of {self._name} {how}.{said}", _AGAIN)

    async def kill(self) -> None:
        """End the process and free everything it holds here."""
        self.kill_now()
        await self._process.wait()
        await asyncio.wait([self._listener], timeout=1.0)
        self._listener.cancel()

    def kill_now(self) -> None:
        """Send the signal alone, where nothing can be awaited."""
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def close(self, patience: float) -> None:
        """Ask it to end by closing its input, and kill it after `patience` seconds."""
        self._ended = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._process.wait()
        await self.kill()

    async def _listen(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while data := await stderr.read(4096):
            self._last_words = (self._last_words + data)[-_LAST_WORDS:]


def _apart() -> dict[str, Any]:
    """Keep the terminal's Ctrl+C from the child, from its very first moment."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}


def describe_end(code: int | None) -> str:
    """How a process ended, in words that follow its name."""
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"crashed (0x{code:08x})" if code > 255 else f"ended unexpectedly (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return {
        "SIGKILL": f"was killed ({name}), maybe because memory ran out",
        "SIGABRT": f"stopped itself ({name}): a check inside llama.cpp failed",
        "SIGILL": f"crashed ({name}): this build of llama.cpp does not suit the processor",
    }.get(name, f"crashed ({name})")


def condense(text: str, longest: int = 600) -> str:
    """The last lines of a log as one short line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-4:])[-longest:]
