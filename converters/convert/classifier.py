"""What all sequence classifiers share: the labels, in the order of the outputs, and their keys."""

from __future__ import annotations

from converters.convert.checkpoint import Checkpoint
from converters.convert.guard_config import FILE_NAME, GuardConfig
from converters.convert.source import Value
from converters.errors import ConversionError

_RANK = 4  # enum llama_pooling_type


def labels_of(checkpoint: Checkpoint, guard: GuardConfig) -> list[str]:
    """The labels by output: those of oa_chat.json, else `id2label`. Raises ConversionError."""
    table = checkpoint.config.get("id2label")
    if not isinstance(table, dict) or not table:
        raise checkpoint.wrong("id2label", "is missing", "It names the outputs of the classifier.")
    labels = [table.get(str(number)) for number in range(len(table))]
    if not all(isinstance(label, str) for label in labels):
        raise checkpoint.wrong("id2label", f"its keys are not 0 to {len(table) - 1}")
    named = [str(label) for label in labels]
    if len(set(named)) < len(named):
        raise checkpoint.wrong("id2label", "names a label twice")
    if not guard.labels:
        return named
    if len(guard.labels) != len(named):
        raise ConversionError(
            f"{checkpoint.folder / FILE_NAME}: labels: {len(guard.labels)} labels for"
            f" {len(named)} outputs."
        )
    generic = all(label.startswith("LABEL_") for label in named)
    if not generic and named != guard.labels:
        raise ConversionError(
            f"{checkpoint.folder / FILE_NAME}: labels: the order differs from id2label of"
            " config.json.",
            "The two must agree, or scores would be read as those of another label.",
        )
    return guard.labels


def head_values(architecture: str, labels: list[str]) -> dict[str, Value]:
    """The metadata that makes llama.cpp run the classification head."""
    return {
        f"{architecture}.attention.causal": False,
        f"{architecture}.pooling_type": _RANK,
        f"{architecture}.classifier.output_labels": labels,
    }
