"""The chat model's tokenizer: learned, and used the way llama.cpp uses it.

SentencePiece BPE with byte fallback; ``<|im_start|>`` and ``<|im_end|>`` are control pieces. Ids of
a prompt come from its segments as the engine's `prompt_tokens` makes them: control pieces from
trusted segments alone, and a space in front of text only at the start or behind a control piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import TrainingError
from converters.extras import require
from converters.provenance import replacing
from converters.train.pieces import sentence_pieces
from oa_chat.prompts import CHATML
from oa_chat.segment import Segment

START, END = "<|im_start|>", "<|im_end|>"
_CONTROL = re.compile(f"({re.escape(START)}|{re.escape(END)})")
_MARK = "\x01"
"""Put in front of text that goes on from text, so that no space comes there; then taken away."""
FILE_NAME = "tokenizer.model"


class ChatTokens:
    """A SentencePiece model as the engine would use it."""

    def __init__(self, data: bytes) -> None:
        """`data` is a SentencePiece model with the control pieces. Raises TrainingError."""
        require("train", "sentencepiece")
        import sentencepiece

        self.data = data
        self._model = sentencepiece.SentencePieceProcessor(model_proto=data)
        self.size = int(self._model.vocab_size())
        self.start, self.end = (int(self._model.piece_to_id(mark)) for mark in (START, END))
        if not (self._model.is_control(self.start) and self._model.is_control(self.end)):
            raise TrainingError(
                f"The tokenizer does not know {START} and {END} as control pieces.",
                "Take a base that `oa-chat train` made, or scratch:SIZE.",
            )
        self._marks = self._model.encode(_MARK)

    def encode(self, segments: Iterable[Segment], begins: bool = True) -> list[list[int]]:
        """The ids of each segment. `begins`: nothing, or a control piece, is in front."""
        found: list[list[int]] = []
        last_is_control = begins
        for segment in segments:
            ids: list[int] = []
            parts = _CONTROL.split(segment.text) if segment.trusted else [segment.text]
            for part in parts:
                if segment.trusted and part in (START, END):
                    ids.append(self.start if part == START else self.end)
                    last_is_control = True
                elif part:
                    ids += self._text(part, continues=not last_is_control)
                    last_is_control = False
            found.append(ids)
        return found

    def _text(self, text: str, continues: bool) -> list[int]:
        if not continues:
            return list(self._model.encode(text))
        ids = self._model.encode(_MARK + text)
        return list(ids[len(self._marks) :])

    def save(self, folder: Path) -> None:
        """Write the model and what transformers and `oa-chat convert` want to know about it."""
        with replacing(folder / FILE_NAME) as part:
            part.write_bytes(self.data)
        control = {
            str(number): {"content": text, "special": True, "normalized": False}
            for number, text in ((self.start, START), (self.end, END))
        }
        config: dict[str, Any] = {
            "tokenizer_class": "LlamaTokenizer",
            "unk_token": "<unk>",
            "eos_token": END,
            "pad_token": END,
            "add_bos_token": False,
            "add_eos_token": False,
            "legacy": False,
            "added_tokens_decoder": control,
            "chat_template": CHATML,
        }
        with replacing(folder / "tokenizer_config.json") as part:
            part.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")


def learned(texts: Iterable[str], size: int, seed: int) -> bytes:
    """A SentencePiece model of `size` pieces from texts. Raises TrainingError."""
    return sentence_pieces(
        texts,
        size,
        seed,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        character_coverage=0.9995,
        remove_extra_whitespaces=False,
        control_symbols=[START, END],
    )


def flat(parts: Sequence[Sequence[int]]) -> list[int]:
    """The ids of all segments, one after the other."""
    return [token for part in parts for token in part]
