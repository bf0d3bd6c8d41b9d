"""A normaliser that makes a blank of every white space, compiled as SentencePiece has it.

Unigram tokenizers without a normaliser of their own (those that `oa-chat train` makes) split at any
white space, but llama.cpp knows the blank alone: a line break in a message would be an unknown
token.
"""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

from converters.extras import require

_WHITE = tuple(
    code
    for code in range(0x3001)
    if chr(code).isspace() and code not in (0x1C, 0x1D, 0x1E, 0x1F, 0x20)
)
"""What Unicode calls white space, besides the blank itself. Python counts four more."""


@cache
def blanks_map() -> bytes:
    """The compiled map, 1 kB. SentencePiece compiles it on the way to a model that nobody needs."""
    require("train", "sentencepiece", "google")
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb2

    made = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        rules.write_text("".join(f"{code:X}\t20\n" for code in _WHITE), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c"]),
            model_writer=made,
            vocab_size=8,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
            minloglevel=2,
        )
    proto = pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(made.getvalue())
    return bytes(proto.normalizer_spec.precompiled_charsmap)
