"""The newest exchange of a conversation, for guards that know a request and at most one reply.

Pure. Marks of a family's own form that a person types are taken apart: in many vocabularies they
are ordinary text, which no tokenizer can tell from the form's.
"""

from __future__ import annotations

from collections.abc import Sequence

from oa_chat.conversation import Message

ANSWER = 'answer ::= " yes" | " no"\n'
"""A GBNF rule that several families share."""


def exchange(messages: Sequence[Message], marks: Sequence[str] = ()) -> tuple[str, str | None]:
    """What the user said last, and the reply that is judged; None if the message is.

    A reply without a message before it is judged as a reply to nothing.
    """
    newest = messages[-1]
    if newest.role != "assistant":
        return taken_apart(newest.text, marks), None
    said = next((one.text for one in reversed(messages) if one.role == "user"), "")
    return taken_apart(said, marks), taken_apart(newest.text, marks)


def as_messages(messages: Sequence[Message], marks: Sequence[str] = ()) -> list[Message]:
    """The newest exchange as the messages of a chat template."""
    said, reply = exchange(messages, marks)
    if reply is None:
        return [Message("user", said)]
    return [Message("user", said), Message("assistant", reply)]


def taken_apart(text: str, marks: Sequence[str]) -> str:
    """The text with a space behind the first character of each mark in it."""
    for mark in marks:
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text
