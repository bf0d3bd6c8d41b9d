"""Encoders with a head of five outputs, and their tokenizers, for training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from converters.errors import TrainingError
from converters.train.bases import load_config, load_model, load_tokenizer, scratch_size, with_lora
from converters.train.pieces import word_pieces
from converters.train.plain_text import plain_tokenizer
from converters.train.settings import Recipe
from oa_chat.verdict import LABELS

_SIZES = {"tiny": (2, 64, 2), "mini": (4, 256, 4), "small": (6, 384, 12), "base": (12, 768, 12)}
"""Layers, width, heads; four times the width between."""
_HEAD = re.compile(r"(^|\.)(classifier|score|pooler|head)\.")
_ROBERTAS = ("roberta", "xlm-roberta", "camembert")
"""Two separators between context and message; positions begin behind the id of the padding."""
_MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[model]``."""

    max_tokens: int = 128
    """Tokens of the whole input, context and marks included. The app's windows have this size."""
    closer_looks: bool = True
    """Whether the app is to look at the sentences of a long text one by one as well."""
    dropout: float | None = None
    """In the layers; None is what the base says."""
    attention_dropout: float | None = None
    head_dropout: float | None = None
    freeze_embeddings: bool = False
    """Leave the token embeddings as they are: less memory, a little faster."""
    vocabulary: int = 8192
    """From scratch: the size of the tokenizer."""


class Vocabulary:
    """A tokenizer that takes everything for text, as the engine's does with untrusted text."""

    def __init__(self, tokenizer: Any, max_tokens: int, separators: int = 1) -> None:
        self._tokenizer = plain_tokenizer(tokenizer)
        self.first = _first(tokenizer.cls_token_id, tokenizer.bos_token_id)
        self.separator = _first(tokenizer.sep_token_id, tokenizer.eos_token_id)
        self.pad = _first(tokenizer.pad_token_id, self.separator)
        self.max_tokens = max_tokens
        self.separators = separators

    def tokenize(self, text: str) -> Sequence[int]:
        """Ids of a text, without any control token."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _first(*ids: int | None) -> int:
    for token in ids:
        if token is not None:
            return int(token)
    raise TrainingError("The base's tokenizer has no tokens for the start and end of a text.")


def open_model(recipe: Any, texts: Iterable[str]) -> tuple[Any, Any, Vocabulary]:
    """Model, tokenizer and vocabulary. Raises TrainingError and RecipeError."""
    size = scratch_size(recipe.base, list(_SIZES))
    settings: ModelSettings = recipe.model
    # The configuration first: what is wrong with a folder shows there in the plainest words.
    config = None if size else load_config(recipe.base)
    tokenizer = (
        _new_tokenizer(texts, settings, recipe.seed) if size else load_tokenizer(recipe.base)
    )
    if not getattr(tokenizer, "is_fast", False):
        raise TrainingError(
            f"The base {recipe.base} has no tokenizer.json.", "Take a base that has one."
        )
    if config is None:
        config = _new_config(size, settings, len(tokenizer))
    _configure(config, settings)
    model = _new_model(config) if size else _open(recipe, config)
    longest = _longest(config)
    if settings.max_tokens > longest:
        raise TrainingError(
            f"model.max_tokens is {settings.max_tokens}, and the base takes {longest} at most."
        )
    if settings.freeze_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    heads = {found[2] for name, _ in model.named_parameters() if (found := _HEAD.search(name))}
    model = with_lora(model, recipe.lora, "SEQ_CLS", sorted(heads))
    separators = 2 if config.model_type in _ROBERTAS else 1
    return model, tokenizer, Vocabulary(tokenizer, settings.max_tokens, separators)


def is_head(name: str) -> bool:
    """Whether a parameter is of the head (the pooler counts: it is trained with it)."""
    return bool(_HEAD.search(name))


def shift_head(model: Any, shift: Sequence[float]) -> None:
    """Add constants to the model's logits: to the bias of its last layer.

    Raises TrainingError if that layer has none.
    """
    import torch

    layers = [
        module
        for name, module in model.named_modules()
        if is_head(f"{name}.weight") and getattr(module, "out_features", 0) == len(LABELS)
    ]
    if not any(shift):
        return
    if not layers or layers[-1].bias is None:
        raise TrainingError(
            "The model's last layer has no bias to shift the levels by.",
            "Take calibration.shift_sources and casual_sources out of the recipe.",
        )
    with torch.no_grad():
        layers[-1].bias += torch.tensor(shift, dtype=layers[-1].bias.dtype)


def _open(recipe: Recipe, config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    return load_model(recipe.base, AutoModelForSequenceClassification, config=config)


def _new_model(config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_config(config)


def _configure(config: Any, settings: ModelSettings) -> None:
    config.num_labels = len(LABELS)
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: number for number, label in enumerate(LABELS)}
    config.problem_type = "single_label_classification"
    if hasattr(config, "reference_compile"):
        config.reference_compile = False  # ModernBERT: compiling costs minutes and gains little
    if hasattr(config, "classifier_pooling"):
        config.classifier_pooling = "mean"  # ModernBERT: llama.cpp knows no other
    wanted = {
        ("hidden_dropout_prob", "mlp_dropout", "embedding_dropout"): settings.dropout,
        ("attention_probs_dropout_prob", "attention_dropout"): settings.attention_dropout,
        ("classifier_dropout",): settings.head_dropout,
    }
    for names, value in wanted.items():
        for name in names:
            if value is not None and hasattr(config, name):
                setattr(config, name, value)


def _longest(config: Any) -> int:
    """Positions that the base has for tokens."""
    offset = 2 if config.model_type in _ROBERTAS else 0
    return int(config.max_position_embeddings) - offset


def _new_config(size: str, settings: ModelSettings, vocabulary: int) -> Any:
    from transformers import BertConfig

    layers, width, heads = _SIZES[size]
    return BertConfig(
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=max(128, settings.max_tokens),
    )


def _new_tokenizer(texts: Iterable[str], settings: ModelSettings, seed: int) -> Any:
    """Lower-case word pieces learned from the training texts.

    SentencePiece learns them: the trainer of word pieces in `tokenizers` gives another vocabulary
    each time, and a resumed training needs the same.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import BertTokenizerFast

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = (
        " ".join(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
        for text in texts
    )
    pieces = word_pieces(words, settings.vocabulary - len(_MARKS), seed)
    vocabulary = {piece: number for number, piece in enumerate([*_MARKS, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=_MARKS[1]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    return BertTokenizerFast(tokenizer_object=tokenizer)
