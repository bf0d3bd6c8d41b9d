"""`python -m oa_chat.engine.survey`: what the native side of this machine looks like, as JSON.

For `oa-chat doctor`, which must not load native code itself. Loads no model.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from oa_chat.engine.native import Device


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


def take_survey() -> Survey:
    """Look around. Child processes only: loads the native libraries."""
    from oa_chat.engine.native import devices, system_info

    return Survey(
        llama_cpp_python=importlib.metadata.version("llama-cpp-python"),
        system_info=" ".join(system_info().split()),
        devices=[_surveyed(device) for device in devices()],
        cores=os.cpu_count() or 1,
    )


def _surveyed(device: Device) -> SurveyedDevice:
    return SurveyedDevice(
        device.name, device.description, device.gpu, device.free_bytes, device.total_bytes
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(take_survey()))
