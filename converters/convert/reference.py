"""The checkpoint in PyTorch: the truth that a conversion is held against.

Loaded from the folder alone: no code of the checkpoint runs and nothing is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.convert.probe import MOST_TOKENS
from converters.errors import ConversionError
from converters.pretrained import load_pretrained
from oa_chat.engine.protocol import ModelKind

if TYPE_CHECKING:
    import numpy as np

_WRITTEN = 12
"""Tokens that a T5 writes for each text."""


class Reference:
    """Tokenizer and model of a checkpoint. Raises ConversionError if they cannot be loaded."""

    def __init__(self, folder: Path, kind: ModelKind) -> None:
        self._kind = kind
        self._folder = folder
        try:
            self._tokenizer, self._model = load_pretrained(folder, kind)
        except ConversionError as error:
            hint = "Nothing can be verified so. Correct the checkpoint, or use --no-verify."
            raise ConversionError(error.message, hint) from error

    def ids(self, text: str) -> list[int]:
        """The text as mere text: typed control tokens are letters."""
        return self._cut(text, add_special_tokens=False)

    def whole(self, text: str) -> list[int]:
        """A text as the model is given it, cut to `MOST_TOKENS` ids."""
        ids = self._cut(text)
        end = ids[-1:] if self._kind != "causal" else []
        return ids if len(ids) <= MOST_TOKENS else ids[: MOST_TOKENS - len(end)] + end

    def _cut(self, text: str, **settings: bool) -> list[int]:
        return list(self._tokenizer(text, split_special_tokens=True, **settings).input_ids)

    def is_padded(self, ids: Sequence[int]) -> bool:
        """Whether a typed "<pad>" became the token: RoBERTa then counts positions otherwise."""
        return self._tokenizer.pad_token_id in ids[1:-1]

    def added(self) -> dict[str, int]:
        """The special tokens and their ids."""
        table = self._tokenizer.added_tokens_decoder
        return {str(token): number for number, token in table.items() if token.special}

    def targets(self, inputs: Sequence[Sequence[int]]) -> list[list[int]]:
        """What a T5's decoder is given: what the model itself writes; empty for other kinds."""
        if self._kind != "seq2seq":
            return []
        torch = self._torch()
        rows = []
        with torch.inference_mode():
            for ids in inputs:
                source = torch.tensor([list(ids)])
                made = self._model.generate(
                    source, max_new_tokens=_WRITTEN, do_sample=False, num_beams=1
                )
                rows.append([int(token) for token in made[0]])
        return rows

    def logits(
        self, inputs: Sequence[Sequence[int]], targets: Sequence[Sequence[int]] = ()
    ) -> np.ndarray:
        """One row a classified input, or one a token of the decoder, in order."""
        import numpy as np

        torch = self._torch()
        rows = []
        with torch.inference_mode():
            for number, ids in enumerate(inputs):
                given: dict[str, Any] = {"input_ids": torch.tensor([list(ids)])}
                if self._kind == "seq2seq":
                    given["decoder_input_ids"] = torch.tensor([list(targets[number])])
                out = self._model(**given).logits
                rows.append(out.reshape(-1, out.shape[-1]).float().numpy())
        return np.concatenate(rows)

    @staticmethod
    def _torch() -> Any:
        import torch

        if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > 4:
            torch.set_num_threads(4)
        return torch
