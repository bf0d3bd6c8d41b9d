"""Which model computes where: chat model first, guards in what is left of the GPU. Pure.

`place` decides from sizes and free memory alone; what a device really takes shows when the model is
loaded, and `context.open_both` then falls back to fewer layers. All GPUs count as one: llama.cpp
spreads the layers of a model over them.

- "cpu" and a number of layers are obeyed. "gpu" takes what fits, as many layers as that is.
- Without a wish the chat model takes what fits, if need be a part of its layers.
- Without a wish a small guard stays on the processor: the embedded one takes 6 ms there
  (docs/performance.md) and leaves the GPU to the chat, beside which it runs. A larger guard goes to
  the GPU if the whole of it still fits there, else to the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oa_chat.engine.cores import SMALL_MODEL_BYTES
from oa_chat.engine.fitting import wanted_context
from oa_chat.engine.gguf_header import GgufHeader, kind_of
from oa_chat.engine.survey import SurveyedDevice

Wish = Literal["auto", "cpu", "gpu"]
ALLOWANCE = 300 * 2**20
"""Bytes for buffers and for the backend itself, on top of weights and cache: a guess. What is taken
depends on backend and model, and shows only while the model is loaded."""
NO_GPU = "no GPU is seen"
_CACHE_BYTES = 2  # a number of the cache is an f16


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that needs a place."""

    part: str
    """"chat", "guard" or "second guard"."""
    weights: int
    """Bytes."""
    cache: int
    """Bytes that its context takes."""
    layers: int
    wish: Wish = "auto"
    gpu_layers: int = -1
    """-1 leaves the number open."""

    @property
    def needs(self) -> int:
        """Bytes of memory, roughly."""
        return self.weights + self.cache + ALLOWANCE

    @property
    def guards(self) -> bool:
        """Whether it judges; what does not is the chat model."""
        return self.part != "chat"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model goes."""

    part: str
    device: str
    """Such as "CPU" or "CUDA0"."""
    gpu_layers: int
    """What the engine is told: -1 is all, 0 none."""
    layers: int
    needs: int
    """Bytes of memory, roughly."""
    why: str

    @property
    def split(self) -> str:
        """How much of it is on the GPU, if not all or nothing: "12 of 32 layers"."""
        return f"{self.gpu_layers} of {self.layers} layers" if self.gpu_layers > 0 else ""


def place(models: Sequence[Wanted], devices: Sequence[SurveyedDevice]) -> list[Placement]:
    """A place for each model; the earlier ones choose first."""
    gpus = [device for device in devices if device.gpu]
    name = "+".join(device.name for device in gpus)
    # A GPU that does not say how much memory it has is taken to have enough.
    known = all(device.total_bytes > 0 for device in gpus)
    free = sum(device.free_bytes for device in gpus) if known else 2**63
    placed = []
    for model in models:
        layers, why = _layers(model, free) if gpus else (0, _without_gpu(model))
        whole = layers < 0 or layers >= model.layers
        share = 1.0 if whole else layers / max(1, model.layers)
        if layers:
            free -= ALLOWANCE + int(share * (model.needs - ALLOWANCE))
        placed.append(
            Placement(
                part=model.part,
                device=name if layers else "CPU",
                gpu_layers=-1 if layers and whole else layers,
                layers=model.layers,
                needs=model.needs,
                why=why,
            )
        )
    return placed


def _without_gpu(model: Wanted) -> str:
    return f"{NO_GPU}, although the settings want one" if model.wish == "gpu" else NO_GPU


def _layers(model: Wanted, free: int) -> tuple[int, str]:
    """How many layers go to the GPU (-1: all), and why."""
    if model.wish == "cpu" or model.gpu_layers == 0:
        return 0, "as the settings say"
    if model.gpu_layers > 0:
        return model.gpu_layers, "as the settings say"
    if model.guards and model.wish == "auto" and model.weights <= SMALL_MODEL_BYTES:
        return 0, "it is small, and the GPU is the chat's"
    if model.needs <= free:
        return -1, "all of it fits"
    fitting = max(0, free - ALLOWANCE) * model.layers // max(1, model.needs - ALLOWANCE)
    if fitting < 1:
        return 0, "the GPU is full"
    if model.guards and model.wish == "auto":
        return 0, "the GPU has no room for all of it"
    return fitting, "no more fits"


def wanted_of(
    part: str, header: GgufHeader, context: int = 0, wish: Wish = "auto", gpu_layers: int = -1
) -> Wanted:
    """What the model of a file needs; `context` in tokens, 0 as in `protocol.Load`."""
    size = wanted_context(context, header.context_length) if kind_of(header) == "causal" else 0
    return Wanted(
        part=part,
        weights=_weights(header),
        cache=size * _cache_bytes(header),
        layers=max(1, header.block_count),
        wish=wish,
        gpu_layers=gpu_layers,
    )


def _weights(header: GgufHeader) -> int:
    """Bytes of all the model's files (``-00001-of-00003.gguf``)."""
    stem, dash, _ = header.path.name.rpartition("-00001-of-")
    parts = int(str(header.values.get("split.count") or 0))
    if not dash or parts < 2:
        return header.size_bytes
    return sum(
        header.path.with_name(f"{stem}-{number:05d}-of-{parts:05d}.gguf").stat().st_size
        for number in range(1, parts + 1)
    )


def _cache_bytes(header: GgufHeader) -> int:
    """Bytes of cache for each token: a key and a value for every head of every layer."""

    def number(key: str, default: int) -> int:
        value = header.values.get(f"{header.architecture}.attention.{key}")
        return value if isinstance(value, int) and value > 0 else default

    heads = number("head_count", 1)
    per_head = header.embedding_length // heads
    key, value = number("key_length", per_head), number("value_length", per_head)
    return header.block_count * number("head_count_kv", heads) * (key + value) * _CACHE_BYTES
