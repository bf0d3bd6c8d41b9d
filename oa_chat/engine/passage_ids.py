"""How a classifier's passage becomes token ids: one rule for the engine and for training. Pure.

``[CLS] context [SEP] message [SEP]``; without context ``[CLS] message [SEP]``. Texts are tokenised
sentence by sentence, with control tokens off, so a typed ``[SEP]`` is text. Only the newest end of
the context is kept, as much as fits beside the message. What of a long text is judged is not
decided here (`looks`), nor which tokenizer it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oa_chat.engine import cuts
from oa_chat.engine.cuts import Ids
from oa_chat.engine.looks import LEAST_CONTEXT, Plan, plan
from oa_chat.engine.protocol import Passage

_CONTEXT_CHARACTERS = 32
"""Read for each token of context that fits: longer tokens are rare, and cutting one is harmless."""


class Tokenizes(Protocol):
    """A vocabulary."""

    def tokenize(self, text: str) -> Sequence[int]:
        """Ids of a text, without any control token."""
        ...


@dataclass(frozen=True, slots=True)
class PassageIds:
    """Puts passages together for one model."""

    first: int
    """[CLS] or <s>."""
    separator: int
    max_tokens: int
    """Of the whole input, the marks included."""
    vocabulary: Tokenizes
    separators: int = 1
    """Between context and message; RoBERTa's kind has two (``<s> a </s></s> b </s>``)."""
    closer_looks: bool = True
    """Whether the sentences of a long text are judged as well (`looks`)."""

    def tokens(self, text: str) -> cuts.Tokens:
        """All of a text, with the places of its sentences."""
        tokens = cuts.Tokens([], [], [])
        at = 0
        for piece in cuts.sentences(text):
            start = len(tokens.ids)
            tokens.ids.extend(self.vocabulary.tokenize(piece))
            if len(tokens.ids) > start:
                tokens.sentences.append((start, len(tokens.ids)))
                tokens.places.append((at, at + len(piece)))
            at += len(piece)
        return tokens

    def newest(self, context: str, used: int) -> list[int]:
        """The end of the context that fits beside a message of `used` tokens."""
        room = self._room(used)
        if room < LEAST_CONTEXT or not context.strip():
            return []
        return self.tokens(context[-room * _CONTEXT_CHARACTERS :]).ids[-room:]

    def join(self, message: Sequence[int], context: Sequence[int] = ()) -> Ids:
        """The input for a message that fits."""
        room = self._room(len(message))
        head = context[-room:] if room >= LEAST_CONTEXT else ()
        if len(head) < LEAST_CONTEXT:
            return (self.first, *message, self.separator)
        between = (self.separator,) * self.separators
        return (self.first, *head, *between, *message, self.separator)

    def _room(self, used: int) -> int:
        """Tokens of context that fit beside a message and all marks."""
        return self.max_tokens - 2 - self.separators - used

    def windows(self, text: cuts.Tokens, context: str) -> list[tuple[cuts.Span, Ids]]:
        """The whole message with its context or, if it is too long, overlapping windows of it."""
        count = len(text.ids)
        spans = cuts.overlapping((0, count), self.max_tokens - 2)
        if len(spans) == 1:
            return [(spans[0], self.join(text.ids, self.newest(context, count)))]
        return [(span, self.join(text.ids[slice(*span)])) for span in spans]

    def plan(self, passage: Passage) -> Plan:
        """What is judged for a passage, as inputs."""
        text = self.tokens(passage.text)
        windows = self.windows(text, passage.context)
        if not self.closer_looks:
            return Plan(text, windows)
        return plan(text, windows, self.join, self.max_tokens)
