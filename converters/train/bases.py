"""What a training starts from: a folder, a model on the hub, or nothing (``scratch:SIZE``).

Code from a checkpoint is never run, and pickles other than plain tensors are never loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.errors import RecipeError, TrainingError
from converters.train.settings import LoraSettings

_SCRATCH = "scratch:"


def scratch_size(base: str, sizes: Sequence[str]) -> str:
    """The SIZE of ``scratch:SIZE``; empty for anything else. Raises RecipeError for no such one."""
    if not base.startswith(_SCRATCH):
        return ""
    size = base.removeprefix(_SCRATCH)
    if size not in sizes:
        raise RecipeError(f"base: there is no {base}.", f"Sizes from scratch: {', '.join(sizes)}.")
    return size


def load_tokenizer(base: str) -> Any:
    """The tokenizer of a folder or of a model on the hub. Raises TrainingError."""
    from transformers import AutoTokenizer

    return _loaded(base, AutoTokenizer.from_pretrained)


def load_model(base: str, auto: Any, **settings: Any) -> Any:
    """A model by one of transformers' Auto classes, in float32. Raises TrainingError."""
    import torch

    return _loaded(base, auto.from_pretrained, dtype=torch.float32, **settings)


def load_config(base: str) -> Any:
    """The configuration. Raises TrainingError."""
    from transformers import AutoConfig

    return _loaded(base, AutoConfig.from_pretrained)


def _loaded(base: str, load: Any, **settings: Any) -> Any:
    folder = Path(base)
    if not folder.is_dir() and (base.count("/") != 1 or folder.is_absolute()):
        raise TrainingError(
            f"The base {base} is no folder here and no id of a model on the hub.",
            "Name a folder with a checkpoint, an id such as owner/name, or scratch:SIZE.",
        )
    try:
        return load(base, trust_remote_code=False, **settings)
    except MemoryError:
        raise
    except Exception as error:  # whatever a stranger's files make transformers and torch raise
        reason = " ".join(str(error).split())[:300]
        raise TrainingError(
            f"The base {base} cannot be loaded: {reason}",
            "Look whether the folder is complete (config.json, weights, tokenizer), or whether the"
            " hub can be reached.",
        ) from error


def with_lora(model: Any, settings: LoraSettings, task: str, saved: Sequence[str]) -> Any:
    """The model with small matrices to train; `saved` modules are trained whole."""
    if not settings.rank:
        return model
    from converters.extras import require

    require("train", "peft")
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules=settings.targets or None,
        modules_to_save=list(saved) or None,
        task_type=task,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise RecipeError(
            f"lora: {' '.join(str(error).split())[:300]}",
            'Name modules of the model: lora.targets = ["query", "value"].',
        ) from error


def merged(model: Any) -> Any:
    """The plain model, small matrices added to the large ones."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
