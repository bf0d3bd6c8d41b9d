"""A conversation as our JSON (`oa_chat.archive`): exact, and all that an import needs."""

from __future__ import annotations

import msgspec

from oa_chat.archive import Archive
from oa_chat.conversation import Conversation


def json_file(conversation: Conversation) -> str:
    """The file, indented. Row ids are written for people and not read again."""
    raw = msgspec.json.encode(Archive(conversations=(conversation,)))
    return msgspec.json.format(raw, indent=2).decode() + "\n"
