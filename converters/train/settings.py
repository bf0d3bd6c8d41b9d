"""What the recipes of all kinds have in common.

Each kind adds its own tables (its file under `converters.train`, registered in `kinds`). Nothing
is computed here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from converters.convert.guard_config import General

Schedule = Literal["linear", "cosine", "constant"]


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[train]``: how long and how fast. Steps are optimizer steps."""

    epochs: float = 1.0
    max_steps: int = 0
    """Above 0, this many steps instead of `epochs`; the schedule ends there."""
    batch: int = 32
    """Records computed at once, over all processes."""
    accumulation: int = 1
    """Batches before each step of the optimizer."""
    rate: float = 5e-5
    """Learning rate of the body at its highest."""
    head_rate: float = 0.0
    """Learning rate of what is new on top; 0 is the same as `rate`."""
    layer_decay: float = 1.0
    """Each layer further down learns at this share of the rate of the one above it."""
    warmup: float = 0.06
    """Steps of linear warm-up; below 1, a share of all steps."""
    schedule: Schedule = "linear"
    end: float = 0.0
    """The share of the learning rate that is left at the end."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    bf16: bool | Literal["auto"] = "auto"
    """Compute in bfloat16, weights stay in float32. "auto": where the hardware is made for it."""
    group_by_length: bool = True
    """Put records of like length together, so that little is padded."""
    ema: float = 0.0
    """Keep a running mean of the weights with this decay, such as 0.99; 0 keeps none."""
    evaluate_every: int = 0
    """Steps between evaluations on the dev files; 0: at the end of each epoch or phase."""
    patience: int = 0
    """Stop after this many evaluations without a better one; 0 never stops early."""
    keep_best: bool = True
    """End with the weights of the best evaluation instead of the last ones."""
    save_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 20
    tensorboard: bool = True
    threads: int = 0
    """Threads of the CPU; 0 leaves it to torch (and OMP_NUM_THREADS)."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.batch < 1 or self.accumulation < 1:
            raise ValueError("batch and accumulation must be at least 1")
        if self.epochs <= 0 and self.max_steps <= 0:
            raise ValueError("epochs must be above 0, or max_steps be given")
        if min(self.rate, self.head_rate, self.warmup, self.clip, self.weight_decay) < 0:
            raise ValueError("rates, warmup, clip and weight_decay must not be below 0")
        if not 0 <= self.ema < 1 or not 0 <= self.end <= 1 or not 0 < self.layer_decay <= 1:
            raise ValueError("ema, end and layer_decay are shares")
        if self.log_every < 1 or self.save_every < 1:
            raise ValueError("log_every and save_every must be at least 1")


class LoraSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[lora]``: train small matrices beside the large ones; merged before saving."""

    rank: int = 0
    """0 trains the model itself."""
    alpha: float = 0.0
    """0 is twice the rank."""
    dropout: float = 0.0
    targets: list[str] = []
    """Names of modules, such as ["query", "value"]; empty: what peft knows for the architecture."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What every recipe has."""

    kind: str
    out: str
    """The folder for checkpoints and the finished model."""
    base: str
    """A folder, the id of a model on the hub, or ``scratch:SIZE``."""
    seed: int = 1
    train: TrainSettings = TrainSettings()
    lora: LoraSettings = LoraSettings()
    general: General = General()
    """Name, licence, ... for the card and the GGUF file."""
