"""A conversation as a file for people or programs: Markdown, JSON, one HTML page.

Each module turns a conversation into text; nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Callable

from oa_chat.conversation import Conversation
from oa_chat.exports.html_page import html_page
from oa_chat.exports.json_file import json_file
from oa_chat.exports.markdown import markdown

FORMATS: dict[str, Callable[[Conversation], str]] = {
    "md": markdown,
    "json": json_file,
    "html": html_page,
}
"""By the names of ``--format``, which are the usual endings as well."""
