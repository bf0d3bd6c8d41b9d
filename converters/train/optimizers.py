"""AdamW with a learning rate for each part of the model. Knows parameters by their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from converters.train.settings import TrainSettings

_LAYER = re.compile(r"\.(?:layers?|block|h)\.(\d+)\.")
_NO_DECAY = re.compile(r"bias$|norm", re.IGNORECASE)


def adamw(model: Any, settings: TrainSettings, is_head: Callable[[str], bool]) -> Any:
    """One optimizer; its groups carry `scale`, the highest learning rate of their parameters."""
    import torch

    groups: dict[tuple[float, float], list[Any]] = {}
    names = [name for name, _ in model.named_parameters()]
    layers = 1 + max((int(m[1]) for name in names if (m := _LAYER.search(name))), default=-1)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = settings.head_rate or settings.rate
        if not is_head(name):
            found = _LAYER.search(name)
            below = layers - int(found[1]) if found else layers + 1
            scale = settings.rate * settings.layer_decay ** (below - 1)
        plain = parameter.ndim < 2 or _NO_DECAY.search(name)
        decay = 0.0 if plain else settings.weight_decay
        groups.setdefault((scale, decay), []).append(parameter)
    made = [
        {"params": parameters, "weight_decay": decay, "scale": scale, "lr": scale}
        for (scale, decay), parameters in groups.items()
    ]
    return torch.optim.AdamW(made, fused=True)
