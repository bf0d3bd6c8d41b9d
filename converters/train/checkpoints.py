"""Checkpoints of a training: written whole or not at all, found again, and only ours are read.

A checkpoint is ``checkpoints/step-N.pt`` (weights, optimizers, running mean) with the state of the
loop in it; ``best-N.pt`` has the weights of the best evaluation. They are read with
``weights_only``, so that a file from elsewhere cannot run code. `training_args.bin` and the like
are never read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import TrainingError
from converters.provenance import replacing

_STEP = re.compile(r"step-(\d+)\.pt")


class LoopState(msgspec.Struct, kw_only=True):
    """Where the loop is."""

    step: int = 0
    best_step: int = 0
    """0 before the first evaluation."""
    best_score: float = float("-inf")
    best_metrics: dict[str, float] = {}
    since_best: int = 0
    """Evaluations without a better one."""
    fingerprint: str = ""
    """Of recipe and data: a checkpoint of another training is refused."""


class Checkpoints:
    """The checkpoints in an output folder."""

    def __init__(self, out: Path) -> None:
        self._folder = out / "checkpoints"

    def newest(self) -> Path | None:
        """The checkpoint with the highest step."""
        steps = [
            (int(match[1]), path)
            for path in self._folder.glob("step-*.pt")
            if (match := _STEP.fullmatch(path.name))
        ]
        return max(steps)[1] if steps else None

    def save(self, state: LoopState, parts: dict[str, Any]) -> None:
        """Write a checkpoint, then drop the older ones and the best weights they named."""
        import torch

        path = self._folder / f"step-{state.step:07d}.pt"
        told = msgspec.json.encode({**msgspec.structs.asdict(state), "best_score": None}).decode()
        with replacing(path) as part:
            torch.save({"state": told, "best_score": state.best_score, **parts}, part)
        kept = {path.name, self.best(state.best_step).name}
        for old in [*self._folder.glob("step-*.pt"), *self._folder.glob("best-*.pt")]:
            if old.name not in kept:
                old.unlink()

    def load(self, path: Path, fingerprint: str) -> tuple[LoopState, dict[str, Any]]:
        """A checkpoint's state and parts. Raises TrainingError."""
        import torch

        try:
            parts = torch.load(path, map_location="cpu", weights_only=True)
            told = msgspec.json.decode(parts.pop("state"))
            told["best_score"] = parts.pop("best_score")
            state = msgspec.convert(told, LoopState)
        except Exception as error:
            raise TrainingError(
                f"The checkpoint {path} cannot be read: {str(error)[:200]}.",
                "Remove it, or begin again with --fresh.",
            ) from error
        if state.fingerprint != fingerprint:
            raise TrainingError(
                f"The checkpoint {path} is of another training: recipe or data have changed.",
                "Take back the change, choose another folder (out=FOLDER), or begin again with"
                " --fresh.",
            )
        return state, parts

    def best(self, step: int) -> Path:
        """Where the best weights of a step are."""
        return self._folder / f"best-{step:07d}.pt"

    def save_best(self, step: int, weights: dict[str, Any]) -> None:
        """Write the weights of the best evaluation so far."""
        import torch

        with replacing(self.best(step)) as part:
            torch.save(weights, part)

    def load_best(self, step: int) -> dict[str, Any]:
        """Read them."""
        import torch

        weights: dict[str, Any] = torch.load(self.best(step), map_location="cpu", weights_only=True)
        return weights

    def clear(self, names: Sequence[str] = ("step-*.pt", "best-*.pt")) -> None:
        """Remove the checkpoints."""
        for name in names:
            for path in self._folder.glob(name):
                path.unlink()
