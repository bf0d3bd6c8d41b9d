"""Conversations and message-rule pairs as token ids, with the part that the assistant says marked.

A conversation is rendered by the app's own ChatML template, a pair by the rule writer's prompt.
Rows of the held-out share are never trained on (`held_out`). Packing is in `packing`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from converters.errors import DataError
from converters.records import record_of
from converters.rows import read_rows
from converters.train.chat_tokens import ChatTokens
from oa_chat.conversation import Message
from oa_chat.guards.rule_prompt import writer_answer, writer_prompt
from oa_chat.prompts import CHATML, ChatTemplate
from oa_chat.segment import Segment
from oa_chat.verdict import Severity

Format = Literal["chat", "rule", "rule/level"]
_GUIDELINE = "\n\n[Guideline: "
_EVERY = 100
_TEMPLATE = ChatTemplate(CHATML)


class TurnRow(msgspec.Struct, frozen=True):
    """A turn in a file."""

    role: Literal["system", "user", "assistant"]
    content: str


class TalkRow(msgspec.Struct, frozen=True):
    """A conversation in a file; other columns are ignored."""

    messages: list[TurnRow]


@dataclass(frozen=True, slots=True)
class Document:
    """Something to learn: token ids, and which of them the assistant says."""

    ids: tuple[int, ...]
    said: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """A row before it becomes tokens."""

    key: str
    """The first message of the user, without the guideline."""
    texts: Sequence[str]
    """What is said in it."""
    render: Callable[[bool], Sequence[Segment]]
    """The segments, without the guideline if asked so. On demand: most of the time goes into it."""
    guideline: bool = False

    @property
    def segments(self) -> Sequence[Segment]:
        """As the app sends it."""
        return self.render(False)

    @property
    def plain(self) -> Sequence[Segment]:
        """The same without the guideline, if it has one."""
        return self.render(True) if self.guideline else ()


def held_out(key: str) -> bool:
    """Whether a row is kept for measuring: one in a hundred, by a hash of the first message."""
    digest = hashlib.md5(key.lower().encode(), usedforsecurity=False).hexdigest()
    return int(digest[:6], 16) % _EVERY == 0


def read_talks(path: Path, form: Format) -> Iterator[Talk]:
    """The rows of a file. Raises DataError for a file without a usable one."""
    found = False
    for number, raw in read_rows(path):
        place = f"{path}, line {number}"
        talk = _talk(raw, place) if form == "chat" else _pair(raw, place, form)
        if talk is not None:
            found = True
            yield talk
    if not found:
        kind = "conversation" if form == "chat" else "flagged message with a rule"
        raise DataError(f"{path} has no {kind}.", "Look at its columns, or at the format.")


def _talk(raw: dict[str, object], place: str) -> Talk | None:
    try:
        row = msgspec.convert(raw, TalkRow)
    except msgspec.ValidationError as error:
        raise DataError(f"{place}: no conversation: {error}.") from error
    messages = [Message(turn.role, turn.content) for turn in row.messages]
    first = next((message.text for message in messages if message.role == "user"), None)
    if first is None or not any(message.role == "assistant" for message in messages):
        return None
    plain = [Message(one.role, without_guideline(one)) for one in messages]

    def render(without: bool) -> Sequence[Segment]:
        return _TEMPLATE.render(plain if without else messages, reply_next=False).segments

    key = without_guideline(Message("user", first))
    return Talk(key, [message.text for message in messages], render, plain != messages)


def without_guideline(message: Message) -> str:
    """The text of a message; the user's without a guideline at its end."""
    text = message.text
    if message.role == "user" and text.endswith("]") and _GUIDELINE in text:
        return text.rpartition(_GUIDELINE)[0]
    return text


def _pair(raw: dict[str, object], place: str, form: Format) -> Talk | None:
    record = record_of(raw, place)
    if not record.rules or record.levels == {Severity.CASUAL}:
        return None
    if raw.get("kind") == "moral":  # Moral Stories: the rule speaks against its opposite
        return None
    level = None
    if form == "rule/level":
        flagged = sorted(record.levels - {Severity.CASUAL}) or [_drawn(record.text)]
        level = flagged[len(flagged) // 2]
    segments = (*writer_prompt(record.text, level), *writer_answer(record.rules[0]))
    said = [segment.text for segment in segments if not segment.trusted]
    return Talk(record.text, said, lambda _: segments)


def _drawn(text: str) -> Severity:
    """A level for a record without one: any of the four, by its text."""
    chance = random.Random(text)  # noqa: S311 - no secret
    return Severity(chance.randint(1, 4))


def document(tokens: ChatTokens, segments: Sequence[Segment]) -> Document:
    """A row as tokens. What the assistant says includes the end mark behind it."""
    ids: list[int] = []
    said: list[bool] = []
    replied = False
    for segment, part in zip(segments, tokens.encode(segments), strict=True):
        ids += part
        marks = [segment.reply] * len(part)
        if replied and part[:1] == [tokens.end]:
            marks[0] = True
        said += marks
        replied = segment.reply
    return Document(tuple(ids), tuple(said))


def fitted(one: Document, context: int, starts: int) -> Iterator[Document]:
    """A document in parts of at most `context` tokens, cut where a turn starts if one does.

    `starts` is the token that starts a turn. Parts in which the assistant says nothing are dropped.
    """
    at = 0
    while at < len(one.ids):
        end = min(len(one.ids), at + context)
        if end < len(one.ids):
            turns = [n for n in range(at + 1, end + 1) if n < len(one.ids) and one.ids[n] == starts]
            # A part starts with a turn of the user: behind an end of what the assistant said.
            users = [n for n in turns if any(one.said[max(at, n - 3) : n])]
            end = (users or turns or [end])[-1]
        part = Document(one.ids[at:end], one.said[at:end])
        if any(part.said):
            yield part
        at = end


def texts_of(files: Iterable[tuple[Path, Format]]) -> Iterator[str]:
    """What is said in files, for the tokenizer."""
    for path, form in files:
        for talk in read_talks(path, form):
            yield from talk.texts
