"""From a prompt's segments to token ids that stay the same from turn to turn.

Untrusted text never yields a control token. A reply that was generated here is turned back into
the very tokens it was made of, so the next turn's prompt goes on from what the cache holds. That is
for replies alone: whoever else says the same gets its usual tokens.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from oa_chat.engine.native import Model
from oa_chat.segment import Segment

_MOST_TEXTS = 1024
"""Texts whose tokens are remembered; a turn has about four."""
_MOST_VARIANTS = 4
_LOOKS_LIKE_MARK = re.compile(r"<[|｜].*[|｜]>|</?s>|<(start|end)_of_turn>|\[/?[A-Z_]+\]|</?think>")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as token ids."""

    ids: list[int]
    newest_end: int
    """Where the last untrusted text ends: what follows may change before it is sent."""
    oldest_start: int
    """Where the first untrusted text begins: what is in front of it comes from the model's file."""


class PromptEncoder:
    """Tokenises prompts for one model and remembers."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._bos = model.bos
        self._known: OrderedDict[tuple[str, bool, bool], list[int]] = OrderedDict()
        self._replies: OrderedDict[str, list[list[int]]] = OrderedDict()
        self._before: dict[str, str] = {}

    def encode(self, segments: Sequence[Segment], cached: Sequence[int] = ()) -> Encoded:
        """Ids of a prompt; `cached` (what the context holds) decides between equal replies."""
        ids: list[int] = []
        newest_end, oldest_start = 0, -1
        for segment, following in zip_longest(segments, segments[1:]):
            continues = bool(ids) and not self._model.is_special(ids[-1])
            if not segment.trusted and oldest_start < 0:
                oldest_start = len(ids)
            reply = self._reply(segment, cached, len(ids))
            ids += reply or self._text(self._as_generated(segment, following), continues)
            if not segment.trusted:
                newest_end = len(ids)
            if self._bos is not None and ids and ids[0] != self._bos:
                ids.insert(0, self._bos)
                newest_end += bool(newest_end)
                oldest_start += oldest_start > 0
        return Encoded(ids, newest_end, max(0, oldest_start))

    def remember_reply(self, text: str, ids: Sequence[int], before: str = "") -> None:
        """Keep the tokens that a reply was generated as, `before` being the text in front.

        Not of one with a template's marks in it: as text they must not come back as marks.
        """
        plain = [token for token in ids if not self._model.is_control(token)]
        key = text.strip()
        if not key or not plain or any(map(self._mark, set(plain))):
            return
        variants = self._replies.pop(key, [])
        self._replies[key] = [*(ids for ids in variants if ids != plain), plain][-_MOST_VARIANTS:]
        self._before[key] = before
        if len(self._replies) > _MOST_TEXTS:
            oldest, _ = self._replies.popitem(last=False)
            del self._before[oldest]

    def _reply(self, segment: Segment, cached: Sequence[int], at: int) -> list[int]:
        if segment.trusted or not segment.reply:
            return []
        variants = self._replies.get(segment.text.strip(), [])
        for ids in variants:
            if list(cached[at : at + len(ids)]) == ids:
                return ids
        return variants[-1] if variants else []

    def _as_generated(self, segment: Segment, following: Segment | None) -> Segment:
        """The piece in front of a remembered reply, with the blanks it had back then.

        Llama-2's template, as an example, ends at ``[/INST]`` when a reply is to come and puts a
        blank behind it when the reply is there.
        """
        if following is None or not following.reply or not segment.trusted:
            return segment
        before = self._before.get(following.text.strip(), segment.text)
        return Segment(before, True) if before.rstrip() == segment.text.rstrip() else segment

    def _text(self, segment: Segment, continues: bool) -> list[int]:
        key = (segment.text, segment.trusted, continues)
        ids = self._known.pop(key, None)
        if ids is None:
            if segment.trusted:
                ids = self._model.tokenize(segment.text, special=True, continues=continues)
            else:
                ids = self._untrusted(segment.text, continues)
        self._known[key] = ids
        if len(self._known) > _MOST_TEXTS:
            self._known.popitem(last=False)
        return ids

    def _untrusted(self, text: str, continues: bool) -> list[int]:
        """Ids without control tokens, nor such user-defined ones as look like a template's marks.

        llama.cpp finds user-defined tokens (Phi's ``<|user|>``) in any text. The text is cut
        inside of them, which leaves the text as it is.
        """
        ids = self._model.tokenize(text, continues=continues)
        marks = {self._mark(token) for token in set(ids)} - {""}
        if not marks:
            return ids
        pattern = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
        ids, start = [], 0
        for match in [*re.finditer(pattern, text), None]:
            end = match.start() + 1 if match else len(text)
            ids += self._model.tokenize(text[start:end], continues=continues or start > 0)
            start = end
        return [token for token in ids if not self._mark(token)]

    def _mark(self, token: int) -> str:
        """The token's text if it must not come from untrusted text, else an empty string."""
        if self._model.is_control(token):
            return self._model.piece(token, special=True).decode("utf-8", "replace")
        if not self._model.is_user_defined(token):
            return ""
        text = self._model.piece(token, special=True).decode("utf-8", "replace")
        return text if _LOOKS_LIKE_MARK.fullmatch(text.strip()) else ""
