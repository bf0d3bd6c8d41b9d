"""Where a training runs: processes, device, bfloat16, memory; and what to do when it is full.

Started by ``accelerate launch`` or ``torchrun`` there are several processes; accelerate finds that
out. Nothing here knows what is trained.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from converters.errors import TrainingError
from converters.extras import require
from converters.train.job import Inputs
from converters.train.settings import TrainSettings


class Machine:
    """The device of this process, and the other processes. See `job.Processes`."""

    def __init__(self, settings: TrainSettings) -> None:
        require("train", "torch", "transformers", "accelerate")
        import torch
        from accelerate import Accelerator

        if settings.threads:
            torch.set_num_threads(settings.threads)
        # Without cpu=True accelerate takes several processes for ones that have a GPU each.
        alone = not torch.accelerator.is_available()
        if alone:
            _keep_freed_memory()
        self._accelerator = Accelerator(cpu=alone, mixed_precision="no")
        self.device = self._accelerator.device
        self.rank: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        wanted = settings.bf16
        self.bf16 = _made_for_bf16(self.device) if wanted == "auto" else bool(wanted)

    def wrap(self, model: Any) -> Any:
        """The model on the device, ready to be trained by all processes together."""
        model.to(self.device)
        return self._accelerator.prepare_model(model) if self.count > 1 else model

    def autocast(self) -> Any:
        """bfloat16 for the block, if that is on."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def unsynchronised(self, model: Any, more: bool) -> Any:
        """Leave the exchange of gradients to a later call, if `more` come."""
        if more and self.count > 1:
            return model.no_sync()
        return contextlib.nullcontext()

    def moved(self, inputs: Inputs) -> Inputs:
        """The tensors on the device."""
        return {
            name: value.to(self.device, non_blocking=True) if hasattr(value, "to") else value
            for name, value in inputs.items()
        }

    def total(self, values: Any) -> Any:
        """The sum of a tensor over the processes."""
        return self._accelerator.reduce(values, "sum") if self.count > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return flag
        import torch

        return bool(self.total(torch.tensor(int(flag), device=self.device)).item())

    def gather(self, rows: list[Any]) -> list[Any]:
        """The rows of all processes, in the order of ranks."""
        if self.count == 1:
            return rows
        from accelerate.utils import gather_object

        return list(gather_object(rows))

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Leave the group of processes; the last thing that they do together.

        What trained across them holds the group's threads (in cycles, so they would live until the
        interpreter ends, where a thread that asks for Python aborts the process): it goes first.
        """
        if self.count > 1:
            self._accelerator.free_memory()
            gc.collect()
            self._accelerator.end_training()

    @property
    def words(self) -> str:
        """For people: "cpu, bfloat16"."""
        number = f", {self.count} processes" if self.count > 1 else ""
        return f"{self.device}{', bfloat16' if self.bf16 else ''}{number}"


def first_process() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one.

    For what comes before there is a `Machine`.
    """
    return os.environ.get("RANK", "0") == "0"


def _made_for_bf16(device: Any) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu":
        has = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in _CPU_FEATURES)
        return any(ask is not None and ask() for ask in has)
    return False


_CPU_FEATURES = ("avx512_bf16", "amx_tile")


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed instead of handing it back and asking for it again.

    Each step frees and takes the same gigabyte: for MiniLM, a fifth of the time went into that.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)


def peak_memory(device: Any) -> int:
    """The most bytes used so far: of the GPU, or of this process."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def explained_memory(settings: TrainSettings) -> Iterator[None]:
    """Turns running out of memory into a TrainingError that says what to lower."""
    try:
        yield
    except MemoryError as error:
        raise _full(settings) from error
    except RuntimeError as error:
        text = str(error).lower()
        if (
            "out of memory" in text
            or "can't allocate memory" in text
            or "not enough memory" in text
        ):
            raise _full(settings) from error
        raise


def _full(settings: TrainSettings) -> TrainingError:
    half, twice = max(1, settings.batch // 2), settings.accumulation * 2
    return TrainingError(
        "The memory is full.",
        f"Compute fewer records at once, with the same result: train.batch={half}"
        f" train.accumulation={twice}. Or lower model.max_tokens, set train.bf16=true,"
        " model.freeze_embeddings=true or lora.rank=8, or take a smaller base."
        " The last checkpoint is kept: --resume auto goes on from it.",
    )
