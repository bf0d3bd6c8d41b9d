"""Our own JSON file (`oa_chat.archive`), read strictly: a wrong type is told with its place."""

from __future__ import annotations

import msgspec

from oa_chat.archive import FORMAT, VERSION, Archive
from oa_chat.conversation import Conversation


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def conversations(raw: bytes) -> list[Conversation]:
    """The conversations of a file. Raises ValueError, or msgspec's errors with the place."""
    head = msgspec.json.decode(raw, type=_Head)
    if head.format != FORMAT:
        raise ValueError(f'its "format" is not "{FORMAT}"')
    if not 1 <= head.version <= VERSION:
        raise ValueError(
            f"its version is {head.version}, and this oa-chat reads up to {VERSION}: update it"
        )
    return list(msgspec.json.decode(raw, type=Archive).conversations)
