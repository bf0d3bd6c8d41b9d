"""Which architectures can be converted here: one line for each model class of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from converters.convert.bert import bert, roberta
from converters.convert.checkpoint import Checkpoint, read_checkpoint, read_json
from converters.convert.guard_config import GuardConfig
from converters.convert.llama import llama
from converters.convert.modern_bert import modern_bert
from converters.convert.source import Source
from converters.convert.t5 import t5
from converters.errors import ConversionError

ARCHITECTURES: dict[str, Callable[[Checkpoint, GuardConfig], Source]] = {
    "T5ForConditionalGeneration": t5,
    "MT5ForConditionalGeneration": t5,
    "BertForSequenceClassification": bert,
    "RobertaForSequenceClassification": roberta,
    "XLMRobertaForSequenceClassification": roberta,
    "ModernBertForSequenceClassification": modern_bert,
    "LlamaForCausalLM": llama,
}


_OFTEN_OTHERWISE = "LlamaForCausalLM"
"""A class with many tokenizers and kinds of positions, of which `llama` knows one."""


def is_ours(folder: Path) -> bool:
    """Whether a folder is converted here, or by a checkout of llama.cpp if there is one."""
    config = read_json(folder / "config.json") or {}
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if name != _OFTEN_OTHERWISE:
        return name in ARCHITECTURES
    try:
        source_of(read_checkpoint(folder), GuardConfig())
    except ConversionError:
        return False
    return True


def source_of(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
    """The checkpoint as names, numbers and lazy tensors. Raises ConversionError."""
    architecture = ARCHITECTURES.get(checkpoint.class_name)
    if architecture is None:
        raise ConversionError(
            f"{checkpoint.folder}: a {checkpoint.class_name!r:.80} cannot be converted here.",
            f"Known: {', '.join(ARCHITECTURES)}. For others name a checkout of llama.cpp with"
            " --llama-cpp.",
        )
    return architecture(checkpoint, guard)
