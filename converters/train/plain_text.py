"""Tokenising text in which nothing is a control token, whatever it looks like.

The engine does so with everything that somebody typed. transformers finds ``</s>`` in a text, and
so does a unigram vocabulary that has it as a piece, even where added tokens are not looked for.
"""

from __future__ import annotations

from typing import Any

import msgspec


def plain_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer of `tokenizers` with the ids of a fast one of transformers, for mere text."""
    from tokenizers import Tokenizer

    parts = msgspec.json.decode(tokenizer.backend_tokenizer.to_str())
    model = parts["model"]
    if model.get("type") == "Unigram":
        special = {one["content"] for one in parts["added_tokens"] if one["special"]}
        special |= set(tokenizer.all_special_tokens)
        for number, piece in enumerate(model["vocab"]):
            if piece[0] in special:
                model["vocab"][number] = [f"\0{number}", piece[1]]
        parts["added_tokens"] = []
        parts["post_processor"] = None
    parts["truncation"] = parts["padding"] = None
    plain = Tokenizer.from_str(msgspec.json.encode(parts).decode())
    plain.encode_special_tokens = True
    return plain
