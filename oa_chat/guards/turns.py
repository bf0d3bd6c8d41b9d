"""A conversation as templates want it that show all of it: user first, then in turn. Pure.

Such templates write speakers and marks as plain text (``User: ...``, ``<END CONVERSATION>``), so
no tokenizer can tell the form's own from what somebody typed. Here they are taken apart in texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from oa_chat.conversation import Message
from oa_chat.guards.exchange import taken_apart

CONVERSATION_MARKS = (
    *("<BEGIN CONVERSATION>", "<END CONVERSATION>"),
    *("<BEGIN UNSAFE CONTENT CATEGORIES>", "<END UNSAFE CONTENT CATEGORIES>"),
    *("<BEGIN SAFETY POLICY>", "<END SAFETY POLICY>"),
)
"""What the templates of Llama Guard and Qwen3Guard put around their parts."""
_LINE_START = r"(?:\A|(?<=[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]))"
"""Behind whatever a model may take for a line break (those of `str.splitlines`)."""


def in_turns(messages: Sequence[Message], speakers: Sequence[str]) -> list[Message]:
    """User and assistant in turn, ending with the last message; system messages are left out.

    Messages of one role in a row become one. `speakers` are the names that the template writes in
    front of a turn: a line that begins like one becomes ``Name -``.
    """
    names = "|".join(map(re.escape, speakers))
    turn = re.compile(rf"{_LINE_START}(\W*)({names})[^\S\n]*[:\uff1a]", re.IGNORECASE)
    turns: list[Message] = []
    for message in messages:
        if message.role == "system":
            continue
        text = turn.sub(r"\1\2 -", taken_apart(message.text, CONVERSATION_MARKS))
        if turns and turns[-1].role == message.role:
            turns[-1] = Message(message.role, f"{turns[-1].text}\n\n{text}")
        else:
            turns.append(Message(message.role, text))
    return turns if turns and turns[0].role == "user" else [Message("user", ""), *turns]
