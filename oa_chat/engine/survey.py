"""`python -m oa_chat.engine.survey`: what the native side of this machine looks like, as JSON.

For `oa-chat doctor` and `places`, which must not load native code themselves: `look_around` runs
this module as a program. Loads no model.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from oa_chat.engine.command import command, environment
from oa_chat.errors import EngineError

if TYPE_CHECKING:
    from oa_chat.engine.native import Device


_SECONDS = 60
"""A first look at a GPU may compile its kernels."""


class SurveyedDevice(msgspec.Struct, frozen=True):
    """A device that llama.cpp can compute on. Sizes in bytes."""

    name: str
    description: str
    gpu: bool
    free_bytes: int
    total_bytes: int


class Survey(msgspec.Struct, frozen=True):
    """The native side: versions, build and devices."""

    llama_cpp_python: str
    system_info: str
    """What the CPU code was built for, as llama.cpp prints it."""
    devices: list[SurveyedDevice]
    cores: int
    backends: list[str] = []
    """What this build of llama.cpp can compute with, such as "CPU", "CUDA" or "Vulkan"."""


async def look_around() -> Survey:
    """Take a survey in a process of its own. Raises EngineError if llama.cpp does not start."""
    process = await asyncio.create_subprocess_exec(
        *command("oa_chat.engine.survey"),
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError:
        raise _broken("no answer") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return msgspec.json.decode(out, type=Survey)
    except msgspec.DecodeError:
        last = err.decode(errors="replace").strip().splitlines()[-1:]
        raise _broken(last[0] if last else f"exit code {process.returncode}") from None


def _broken(reason: str) -> EngineError:
    return EngineError(
        f"llama.cpp does not start: {reason}",
        "Install it again: pip install --force-reinstall --no-cache-dir llama-cpp-python",
    )


def take_survey() -> Survey:
    """Look around. Child processes only: loads the native libraries."""
    import importlib.metadata

    from oa_chat.engine.native import backends, devices, system_info

    return Survey(
        llama_cpp_python=importlib.metadata.version("llama-cpp-python"),
        system_info=" ".join(system_info().split()),
        devices=[_surveyed(device) for device in devices()],
        cores=os.cpu_count() or 1,
        backends=backends(),
    )


def _surveyed(device: Device) -> SurveyedDevice:
    return SurveyedDevice(
        device.name, device.description, device.gpu, device.free_bytes, device.total_bytes
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(take_survey()))
