"""Vocabularies learned from text by SentencePiece: the same ones for the same text and seed."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable
from typing import Any

from converters.errors import TrainingError
from converters.extras import require

_SENTENCES = 400_000
"""Lines that the pieces are learned from; more cost minutes and change little."""


def sentence_pieces(texts: Iterable[str], size: int, seed: int, **settings: Any) -> bytes:
    """A SentencePiece model; `settings` are those of its trainer. Raises TrainingError."""
    require("train", "sentencepiece")
    import sentencepiece

    lines = [line for text in texts for line in text.splitlines() if line]
    if len(lines) > _SENTENCES:
        # SentencePiece's own sampling is another one in every process, whatever seed it is given.
        lines = random.Random(seed).sample(lines, _SENTENCES)  # noqa: S311 - no secret
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=written,
            vocab_size=size,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
            **settings,
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"No tokenizer of {size} pieces can be learned: {str(error).strip()[-200:]}.",
            "Give more text, or another model.vocabulary.",
        ) from error
    return written.getvalue()


def word_pieces(words: Iterable[str], size: int, seed: int) -> list[str]:
    """Pieces as BERT writes them (``##ing``), at most `size`; `words` are texts cut by blanks.

    Every character is a piece, at the start of a word and within.
    """
    import sentencepiece

    data = sentence_pieces(
        words, size, seed, model_type="bpe", character_coverage=0.9999, hard_vocab_limit=False
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=data)
    learned = [model.id_to_piece(n) for n in range(model.vocab_size()) if not model.is_control(n)]
    whole = [piece for piece in learned if piece not in ("<unk>", "▁")]
    letters = sorted({letter for piece in whole for letter in piece} - {"▁"})
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    pieces += [piece[1:] if piece.startswith("▁") else f"##{piece}" for piece in whole]
    return list(dict.fromkeys(pieces))[: max(size, 2 * len(letters))]
