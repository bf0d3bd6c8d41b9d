"""Which guard a checkpoint folder holds, and a judge of it.

A sequence classifier with the five levels as labels, or a T5 of the open-assistant family. What
`oa-chat train` wrote beside the weights (`oa_chat.json`: window, temperature, threshold, prompt
format) counts here as it does after conversion. Loads nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from converters.convert.guard_config import GuardConfig, read_guard_config
from converters.evaluate.judges import GuardJudge, JudgeInfo
from converters.evaluate.torch_engines import TorchClassifier, TorchEngine, TorchSeq2Seq
from converters.extras import require
from converters.provenance import sha256_of
from oa_chat.engine.own_keys import DEFAULT_MAX_TOKENS
from oa_chat.errors import ModelUnreadable, WrongModelKind
from oa_chat.guards.classifier import Classifier
from oa_chat.guards.family import GuardFamily
from oa_chat.guards.open_assistant import Dialect, OpenAssistant
from oa_chat.verdict import LABELS, Severity

_TWO_SEPARATORS = ("roberta", "xlm-roberta", "camembert")
_VOCABULARIES = (
    *("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("vocab.json", "vocab.txt"),
)
_WEIGHTS = (".safetensors", ".json", ".txt", ".model")


def open_checkpoint(folder: Path, threads: int = 0) -> GuardJudge:
    """A judge of a checkpoint. Raises ModelError if it is no guard, UsageError without torch."""
    require("train", "torch", "transformers", "tokenizers")
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        hint = "Name a .gguf file, or the folder of a checkpoint."
        raise ModelUnreadable(f"{folder} holds no config.json.", hint) from error
    except (OSError, msgspec.DecodeError) as error:
        raise ModelUnreadable(f"{folder / 'config.json'} cannot be read: {error}.") from error
    own = read_guard_config(folder)
    engine: TorchEngine
    family: GuardFamily
    if config.get("is_encoder_decoder"):
        dialect = _dialect(folder, own)
        family = OpenAssistant(dialect, own.temperature)
        engine = TorchSeq2Seq(folder, threads, dialect)
    else:
        family = Classifier(_order(folder, config, own), own.thresholds.flag_below)
        engine = _classifier(folder, config, own, threads)
    _require_files(folder)
    kind = str(config.get("model_type", "unknown"))
    info = JudgeInfo(
        name=folder.resolve().name,
        sha256=_hash(folder),
        family=family.name,
        kind="checkpoint",
        size_bytes=sum(one.stat().st_size for one in folder.glob("*.safetensors")),
        description=_described(kind, own),
        flag_below=own.thresholds.flag_below,
    )
    return GuardJudge(info, engine, family)


def _require_files(folder: Path) -> None:
    """Without a vocabulary transformers makes an empty one up, in which all words are the same."""
    if not any((folder / name).is_file() for name in _VOCABULARIES) and not _is_byt5(folder):
        raise ModelUnreadable(
            f"{folder} holds no tokenizer (such as tokenizer.json).",
            "Save it beside the weights: tokenizer.save_pretrained.",
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelUnreadable(
            f"{folder} holds no weights (model.safetensors).",
            "Save the model with save_pretrained.",
        )


def _is_byt5(folder: Path) -> bool:
    """Whether the tokenizer is of bytes and needs no vocabulary."""
    path = folder / "tokenizer_config.json"
    return path.is_file() and b"ByT5Tokenizer" in path.read_bytes()


def _classifier(
    folder: Path, config: dict[str, Any], own: GuardConfig, threads: int
) -> TorchClassifier:
    limit = int(config.get("max_position_embeddings") or DEFAULT_MAX_TOKENS)
    kind = config.get("model_type")
    return TorchClassifier(
        folder,
        threads,
        max_tokens=own.max_tokens or min(limit, DEFAULT_MAX_TOKENS),
        temperature=own.temperature,
        separators=2 if kind in _TWO_SEPARATORS else 1,
        closer_looks=own.closer_looks,
    )


def _order(folder: Path, config: dict[str, Any], own: GuardConfig) -> tuple[int, ...]:
    """The severity of each output. Raises WrongModelKind if these are not the five levels."""
    names = config.get("id2label") or {}
    labels = own.labels or [str(names[key]).strip() for key in sorted(names, key=int)]
    if sorted(labels) != sorted(LABELS):
        shown = ", ".join(labels[:6]) or "none"
        raise WrongModelKind(
            f"{folder} is not a guard: its labels are {shown}, not the five levels.",
            f"The levels: {', '.join(LABELS)}.",
        )
    return tuple(int(Severity.from_label(label)) for label in labels)


def _dialect(folder: Path, own: GuardConfig) -> Dialect:
    if own.prompt_format.endswith("/seed"):
        return "seed"
    if own.prompt_format.endswith("/blade2blade"):
        return "blade2blade"
    files = [folder / "tokenizer.json", folder / "added_tokens.json"]
    text = "".join(one.read_text(encoding="utf-8") for one in files if one.is_file())
    if "<|prompter|>" in text:
        return "blade2blade"
    if "<ctx>" in text:
        return "seed"
    raise WrongModelKind(
        f"{folder} is a text-to-text model, but no guard that oa-chat knows.",
        "Its vocabulary has neither <ctx> nor <|prompter|>.",
    )


def _described(kind: str, own: GuardConfig) -> tuple[tuple[str, str], ...]:
    found = [("architecture", kind)]
    if own.general.license:
        found.append(("license", own.general.license))
    if own.max_tokens:
        found.append(("max_tokens", str(own.max_tokens)))
    if own.temperature != 1.0:
        found.append(("temperature", f"{own.temperature:g}"))
    return tuple(found)


def _hash(folder: Path) -> str:
    """One hash of all files that decide what the model says."""
    files = sorted(one for one in folder.iterdir() if one.suffix in _WEIGHTS and one.is_file())
    digest = hashlib.sha256()
    for one in files:
        digest.update(f"{one.name} {sha256_of(one)}\n".encode())
    return digest.hexdigest()
