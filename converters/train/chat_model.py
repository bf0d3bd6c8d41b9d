"""A small Llama with its loss, and its optimizers: Muon for the matrices, AdamW for the rest.

Logits are computed only where a token is to be learned: with 8,192 pieces they are most of the
memory and a third of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from converters.errors import TrainingError
from converters.train.bases import load_model, scratch_size, with_lora
from converters.train.chat_tokens import FILE_NAME, ChatTokens
from converters.train.settings import LoraSettings, TrainSettings

SIZES = {
    "nano": (2, 64, 2, 128),
    "3m": (4, 192, 3, 512),
    "7m": (6, 256, 4, 704),
    "13m": (8, 320, 5, 880),
    "30m": (10, 512, 8, 1408),
    "110m": (12, 768, 12, 2048),
}
"""Layers, width, heads, width of the feed-forward layers. With 8,192 pieces, tied embeddings."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[model]``."""

    context: int = 512
    """Tokens of a row, and of the model's memory."""
    vocabulary: int = 8192
    """From scratch: pieces of the tokenizer, which is learned from the phases' data."""
    tokenizer: str = ""
    """From scratch: a folder with a tokenizer.model to use instead."""


class OptimizerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[optimizer]``."""

    name: Literal["muon", "adamw"] = "muon"
    """"muon": for the matrices of the layers; AdamW for embeddings and norms."""
    adam_share: float = 0.1
    """With Muon: AdamW's learning rate as a share of Muon's."""
    momentum: float = 0.95
    beta2: float = 0.95


def causal_loss(model: Any) -> Any:
    """Wrap a causal model so that its forward is the loss; `lm` is the model itself."""
    import torch
    from torch import nn

    class Wrapped(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lm = model

        def forward(
            self, input_ids: Any, position_ids: Any, attention_mask: Any, targets: Any, weights: Any
        ) -> Any:
            hidden = self.lm.get_decoder()(
                input_ids=input_ids,
                position_ids=position_ids,
                attention_mask=attention_mask,
                use_cache=False,
            ).last_hidden_state
            learned = weights > 0
            logits = self.lm.get_output_embeddings()(hidden[learned]).float()
            losses = torch.nn.functional.cross_entropy(logits, targets[learned], reduction="none")
            return (losses * weights[learned]).sum()

    return Wrapped()


def open_chat_model(
    base: str, settings: ModelSettings, lora: LoraSettings, tokens: ChatTokens
) -> Any:
    """A Llama, from scratch or from a folder. Raises TrainingError and RecipeError."""
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    size = scratch_size(base, list(SIZES))
    if size:
        layers, width, heads, inner = SIZES[size]
        config = LlamaConfig(
            vocab_size=tokens.size,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=settings.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokens.end,
            pad_token_id=tokens.end,
            rms_norm_eps=1e-5,
        )
        model = LlamaForCausalLM(config)
    else:
        model = load_model(base, AutoModelForCausalLM)
        if model.config.vocab_size != tokens.size:
            raise TrainingError(
                f"The base {base} has {model.config.vocab_size} tokens, its {FILE_NAME} has"
                f" {tokens.size}."
            )
        if settings.context > model.config.max_position_embeddings:
            raise TrainingError(
                f"model.context is {settings.context}, and the base was made for"
                f" {model.config.max_position_embeddings}."
            )
    return with_lora(model, lora, "CAUSAL_LM", [])


def tokenizer_of(base: str) -> bytes:
    """The SentencePiece model of a base. Raises TrainingError."""
    path = Path(base) / FILE_NAME
    if not path.is_file():
        raise TrainingError(
            f"The base {base} has no {FILE_NAME}.",
            "Chat models are trained from scratch:SIZE or from a folder that `oa-chat train` made.",
        )
    return path.read_bytes()


def optimizers(model: Any, settings: OptimizerSettings, train: TrainSettings) -> list[Any]:
    """Their groups carry `scale`: 1 for the main learning rate, `adam_share` for the rest."""
    import torch

    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and "layers" in name]
    betas = (0.9, settings.beta2)
    if settings.name == "adamw":
        decay = [p for _, p in named if p.ndim >= 2]
        plain = [p for _, p in named if p.ndim < 2]
        groups = [
            {"params": decay, "weight_decay": train.weight_decay, "scale": 1.0},
            {"params": plain, "weight_decay": 0.0, "scale": 1.0},
        ]
        return [torch.optim.AdamW([g for g in groups if g["params"]], betas=betas, fused=True)]
    inside = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in inside]
    muon = torch.optim.Muon(
        [{"params": matrices, "scale": 1.0}],
        momentum=settings.momentum,
        weight_decay=train.weight_decay,
        adjust_lr_fn="original",
    )
    adam = torch.optim.AdamW(
        [{"params": rest, "scale": settings.adam_share}], betas=betas, weight_decay=0.0, fused=True
    )
    return [muon, adam]
