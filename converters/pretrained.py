"""Loads a checkpoint in PyTorch from its folder: no code of it runs, nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.extras import require
from oa_chat.engine.protocol import ModelKind

_CLASSES: dict[ModelKind, str] = {
    "classifier": "AutoModelForSequenceClassification",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "causal": "AutoModelForCausalLM",
}
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)
_LONGEST = 300
"""Characters of what transformers says about a failure."""


def load_pretrained(folder: Path, kind: ModelKind, **more: Any) -> tuple[Any, Any]:
    """Tokenizer and float32 model; `more` goes to the model's `from_pretrained`.

    Raises ConversionError with what transformers says, without a hint.
    """
    require("train", "torch", "transformers")
    import transformers
    from safetensors import SafetensorError

    loader = getattr(transformers, _CLASSES[kind])
    # Without an answer about remote code transformers asks the terminal.
    settings = {"local_files_only": True, "trust_remote_code": False}
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **settings)
        model: Any = loader.from_pretrained(folder, dtype="float32", **settings, **more)
    except (*_FAILURES, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [repr(error)])[0][:_LONGEST].rstrip(". ")
        raise ConversionError(f"{folder}: transformers cannot load it: {first}.") from error
    return tokenizer, model.eval()
