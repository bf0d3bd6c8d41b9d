"""Conversations from files: our own JSON, and ChatGPT's export.

A file is data by anybody: it is bounded in size, checked as a whole before anything of it is
stored, and told by place where it is wrong. Nothing here touches the store.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from oa_chat.archive import checked
from oa_chat.conversation import Conversation
from oa_chat.errors import UsageError
from oa_chat.imports import chatgpt, own

LARGEST_FILE = 1 << 30
"""Bytes. A file is read as a whole."""


def read_conversations(path: Path) -> list[Conversation]:
    """The conversations of a file, in its order. Raises UsageError for what cannot be read."""
    raw = _bytes_of(path)
    try:
        found = _decoded(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = _reason(raw, error)
        raise UsageError(
            f"{path} cannot be imported: {reason}.",
            "Give a file of `oa-chat history export --format json`, or the conversations.json of"
            " ChatGPT's export.",
        ) from error
    return [
        checked(conversation, f"{path}: $.conversations[{number}]")
        for number, conversation in enumerate(found)
    ]


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    if len(raw) > LARGEST_FILE:
        raise UsageError(f"{path} is larger than {LARGEST_FILE >> 30} GiB.")
    if raw.startswith(b"PK\x03\x04"):
        raise UsageError(
            f"{path} is a zip archive.", "Unpack it, and import the conversations.json in it."
        )
    return raw.removeprefix(b"\xef\xbb\xbf")


def _reason(raw: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    byte = re.search(r"\(byte (\d+)\)", str(error))
    line = raw.count(b"\n", 0, int(byte[1])) + 1 if byte else 0
    return f"{error}, line {line}" if line else str(error)


def _decoded(raw: bytes) -> list[Conversation]:
    """By the first character: our file is an object, ChatGPT's a list."""
    if raw.lstrip()[:1] == b"[":
        return chatgpt.conversations(raw)
    return own.conversations(raw)
