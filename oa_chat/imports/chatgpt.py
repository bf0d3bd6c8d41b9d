"""ChatGPT's data export: `conversations.json`, a list of trees of messages.

Read is the branch that was open last: from `current_node` up to the root. What user and assistant
said to each other is kept as text; system messages, tools, hidden messages and what a model thought
are left out, and a picture or another attachment leaves a note in brackets. The format has no
public description; these fields have been in every export since 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from oa_chat.conversation import Conversation, StopReason, Turn
from oa_chat.policy import compose_sent

_NOTE = "[An attachment was left out.]"
_TEXTS = frozenset({"text", "multimodal_text"})


class _Author(msgspec.Struct):
    role: str = ""


class _Content(msgspec.Struct):
    content_type: str = ""
    parts: list[Any] | None = None


class _Metadata(msgspec.Struct):
    model_slug: str | None = None
    is_visually_hidden_from_conversation: bool | None = None


class _Message(msgspec.Struct):
    author: _Author
    content: _Content
    create_time: float | None = None
    recipient: str | None = None
    metadata: _Metadata | None = None


class _Node(msgspec.Struct):
    message: _Message | None = None
    parent: str | None = None
    children: list[str] = []


class _Tree(msgspec.Struct):
    mapping: dict[str, _Node]
    title: str | None = None
    create_time: float | None = None
    current_node: str | None = None


def conversations(raw: bytes) -> list[Conversation]:
    """The conversations that hold any words. Raises msgspec's errors with the place."""
    trees = msgspec.json.decode(raw, type=list[_Tree])
    found = (_conversation(tree) for tree in trees)
    return [conversation for conversation in found if conversation.turns]


def _conversation(tree: _Tree) -> Conversation:
    turns: list[Turn] = []
    began = _date(tree.create_time)
    for message in _branch(tree):
        text = _text(message)
        if not text:
            continue
        if message.author.role == "user":
            turns.append(Turn(id=0, user=text, created=_date(message.create_time) or began))
            continue
        if not turns:
            turns.append(Turn(id=0, user="", created=_date(message.create_time) or began))
        reply = f"{turns[-1].reply}\n\n{text}" if turns[-1].reply else text
        model = (message.metadata and message.metadata.model_slug) or turns[-1].model
        turns[-1] = replace(turns[-1], reply=reply, model=model)
    return Conversation(0, tree.title or "", "", tuple(_ended(turn) for turn in turns))


def _ended(turn: Turn) -> Turn:
    """A turn with what a chat model has seen of it, as our own turns have."""
    if not turn.reply:
        return replace(turn, stop_reason=StopReason.WITHDRAWN)
    return replace(turn, sent=compose_sent(turn.user, ""), stop_reason=StopReason.COMPLETE)


def _branch(tree: _Tree) -> Iterator[_Message]:
    """The messages from the root to the node that was open last, each at most once."""
    path: list[_Node] = []
    seen: set[str] = set()
    name = tree.current_node or _newest_leaf(tree)
    while name is not None and name in tree.mapping and name not in seen:
        seen.add(name)
        path.append(tree.mapping[name])
        name = tree.mapping[name].parent
    for node in reversed(path):
        if node.message is not None:
            yield node.message


def _newest_leaf(tree: _Tree) -> str | None:
    """Where an export says nothing: the message without an answer that was written last."""
    leaves = [name for name, node in tree.mapping.items() if not node.children]
    return max(leaves, key=lambda name: _written(tree.mapping[name]), default=None)


def _written(node: _Node) -> float:
    return (node.message and node.message.create_time) or 0.0


def _text(message: _Message) -> str:
    """What was said in a message to the other side; nothing for all other messages."""
    hidden = message.metadata and message.metadata.is_visually_hidden_from_conversation
    said = message.author.role in {"user", "assistant"} and message.recipient in {None, "", "all"}
    if hidden or not said or message.content.content_type not in _TEXTS:
        return ""
    parts = [part if isinstance(part, str) else _NOTE for part in message.content.parts or ()]
    return "\n\n".join(part for part in parts if part.strip())


def _date(seconds: float | None) -> str:
    """Seconds since 1970 as ISO 8601; an empty string for what is no date."""
    try:
        moment = datetime.fromtimestamp(seconds or 0, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.isoformat(timespec="milliseconds") if seconds else ""
