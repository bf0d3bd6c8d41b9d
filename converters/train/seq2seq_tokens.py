"""T5 tokenizers: learned or of a base, with the dialect's control tokens, used as the engine does.

Ids of a prompt come from its segments as `oa_chat.engine.t5_prompt` makes them: control tokens from
trusted segments alone, each segment tokenised by itself, ``</s>`` at the end, the front cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from converters.errors import TrainingError
from converters.extras import require
from converters.train.pieces import sentence_pieces
from converters.train.plain_text import plain_tokenizer
from oa_chat.guards.open_assistant import Dialect
from oa_chat.segment import Segment

MARKS: dict[Dialect, list[str]] = {
    "seed": ["<cls>", "<ctx>", "<sep>"],
    "blade2blade": ["<sep>", "<|prompter|>", "<|assistant|>"],
}
"""Guard families tell the dialects apart by them."""
_PAD, _END, _UNKNOWN = "<pad>", "</s>", "<unk>"
_CHARACTERS = 32
"""Of a very long text, as much is read for each token that fits (`oa_chat.engine.t5_prompt`)."""


class T5Tokens:
    """A tokenizer of transformers as the engine would use it."""

    def __init__(self, tokenizer: Any, marks: Sequence[str]) -> None:
        """Adds the marks that are missing. Raises TrainingError."""
        missing = [mark for mark in marks if _id(tokenizer, mark) is None]
        if missing:
            tokenizer.add_tokens(missing, special_tokens=True)
        self.tokenizer = tokenizer
        self.end = _needed(tokenizer, _END)
        self.pad = _needed(tokenizer, _PAD)
        self._control = {mark: _needed(tokenizer, mark) for mark in (*marks, _END)}
        self._names = {token: mark for mark, token in self._control.items()}
        self._split = re.compile("(" + "|".join(map(re.escape, self._control)) + ")")
        self.size = max(len(tokenizer), *(token + 1 for token in self._control.values()))
        self._plain: Any = None
        if getattr(tokenizer, "is_fast", False):
            self._plain = plain_tokenizer(tokenizer)

    def prompt(self, segments: Iterable[Segment], room: int) -> list[int]:
        """The ids of a prompt; its front is cut to fit into `room`."""
        ids: list[int] = []
        for segment in segments:
            ids += self._segment(segment, room)
        if ids[-1:] != [self.end]:
            ids.append(self.end)
        return ids[-room:]

    def target(self, segments: Iterable[Segment], room: int) -> list[int]:
        """The ids of an answer; its end is cut to fit into `room`."""
        ids = [token for segment in segments for token in self._segment(segment, room)]
        return ids if len(ids) <= room else [*ids[: room - 1], self.end]

    def _segment(self, segment: Segment, room: int) -> list[int]:
        if not segment.trusted:
            text = segment.text
            longest = room * _CHARACTERS
            if len(text) > longest:
                text = " ".join(text.split())[-longest:]
            return self._text(text)
        ids: list[int] = []
        for part in self._split.split(segment.text):
            if part in self._control:
                ids.append(self._control[part])
            elif part:
                ids += self._text(part)
        return ids

    def _text(self, text: str) -> list[int]:
        if self._plain is None:  # ByT5: bytes behind <pad>, </s>, <unk>
            return [byte + 3 for byte in text.encode()]
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """An answer as the engine gives it: control tokens of the format stay in it."""
        parts: list[str] = []
        run: list[int] = []
        for token in [*ids, self.end]:
            if token == self.end or token in self._names:
                parts.append(self._decoded(run))
                run = []
                if token == self.end:
                    break
                parts.append(self._names[token])
            elif token != self.pad:
                run.append(token)
        return "".join(parts).removeprefix(" ")

    def _decoded(self, run: Sequence[int]) -> str:
        if self._plain is None:
            data = bytes(token - 3 for token in run if 3 <= token < 259)
            return data.decode("utf-8", "replace")
        pieces = self.tokenizer.convert_ids_to_tokens(list(run))
        # Tables are often longer than the vocabulary: ids at their end are no pieces.
        return "".join(piece or "" for piece in pieces).replace("▁", " ")


def _id(tokenizer: Any, text: str) -> int | None:
    token = tokenizer.convert_tokens_to_ids(text)
    return token if token is not None and token != tokenizer.unk_token_id else None


def _needed(tokenizer: Any, text: str) -> int:
    token = _id(tokenizer, text)
    if token is None:
        raise TrainingError(f"The base's tokenizer has no {text}: it is not of the T5 family.")
    return token


def learned(texts: Iterable[str], size: int, seed: int) -> Any:
    """A SentencePiece unigram tokenizer of at most `size` pieces. Raises TrainingError."""
    require("train", "sentencepiece", "tokenizers")
    import sentencepiece
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    data = sentence_pieces(
        texts,
        size,
        seed,
        model_type="unigram",
        hard_vocab_limit=False,
        character_coverage=0.9999,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=data)
    pieces = [(model.id_to_piece(n), model.get_score(n)) for n in range(model.vocab_size())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    # Runs of blanks count as one, as in T5's own tokenizer.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END, unk_token=_UNKNOWN
    )
