"""From segments to the token ids that a T5 encoder reads. Child processes only.

Control tokens come from trusted segments alone. T5 puts a space in front of every piece of text
between control tokens, and so does tokenising each segment by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from oa_chat.engine.native import Model, lib
from oa_chat.segment import Segment

_CHARACTERS = 32
"""Read for each token that fits: more than T5's longest ordinary pieces have."""


def encode(model: Model, segments: Sequence[Segment], room: int) -> tuple[list[int], bool]:
    """Ids that end with ``</s>``, and whether the front was cut to fit into `room` tokens.

    A trusted last segment that ends with ``</s>`` stays as it is.
    """
    ids: list[int] = []
    cut = False
    for segment in segments:
        if segment.trusted:
            ids += model.tokenize(segment.text, special=True)
        else:
            text = _end_of(segment.text, room * _CHARACTERS)
            cut = cut or len(text) < len(segment.text)
            ids += _untrusted(model, text)
    end = int(lib.llama_vocab_eos(model.vocab))
    if end >= 0 and ids[-1:] != [end]:
        ids.append(end)
    return ids[-room:], cut or len(ids) > room


def _end_of(text: str, longest: int) -> str:
    """The newest part of a very long text; runs of blanks, which give no tokens, do not count."""
    if len(text) <= longest:
        return text
    return " ".join(text.split())[-longest:]


def _untrusted(model: Model, text: str) -> list[int]:
    """Ids without any control token.

    llama.cpp finds tokens of the type USER_DEFINED in any text, and some files give ``<sep>``
    that type. Such a word is cut after its first character, which leaves it as mere text.
    """
    ids = model.tokenize(text)
    found = {token for token in ids if _is_mark(model, token)}
    if not found:
        return ids
    marks = [model.piece(token, special=True).decode("utf-8", "replace") for token in found]
    pattern = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True) if mark)
    starts = [match.start() + 1 for match in re.finditer(pattern, text)] if pattern else []
    bounds = [0, *starts, len(text)]
    ids = []
    for start, end in pairwise(bounds):
        ids += model.tokenize(text[start:end])
    return [token for token in ids if not _is_mark(model, token)]


def _is_mark(model: Model, token: int) -> bool:
    return model.is_control(token) or model.is_user_defined(token)
