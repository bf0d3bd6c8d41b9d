"""What `oa-chat history` prints: lines for people, fields for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from oa_chat.commands.terminal import is_terminal
from oa_chat.conversation import Conversation
from oa_chat.exports.facts import facts_of, flag_lines, one_line, short_date, withdrawn_lines
from oa_chat.history import Hit, Summary
from oa_chat.printable import printable
from oa_chat.wording import SYMBOLS, UNREAD_SYMBOL

_TITLE_LENGTH = 60
_WHO = {"user": "you", "assistant": "reply"}


def summary_line(summary: Summary) -> str:
    """A conversation in a list."""
    messages = f"{summary.messages} message{'' if summary.messages == 1 else 's'}"
    title = one_line(summary.title)[:_TITLE_LENGTH]
    head = f"{summary.id:>5}  {short_date(summary.updated)}  {messages:>12}"
    return f"{head}  {_flags(summary):<32}  {title}".rstrip()


def summary_fields(summary: Summary) -> dict[str, Any]:
    """The fields of a line of ``list --json``."""
    return {
        "id": summary.id,
        "title": summary.title,
        "created": summary.created,
        "updated": summary.updated,
        "messages": summary.messages,
        "flags": summary.flags,
        "worst": None if summary.worst is None else summary.worst.label,
    }


def conversation_lines(conversation: Conversation) -> list[str]:
    """A conversation as plain text that a screen reader can follow."""
    facts = facts_of(conversation)
    lines = [facts.title]
    named = (("Date", short_date(facts.date)), ("Model", facts.model), ("Guard", facts.guard))
    lines += [f"{name}: {said}" for name, said in named if said]
    if conversation.system_prompt:
        lines += ["", "System prompt:", printable(conversation.system_prompt)]
    for turn in conversation.turns:
        lines += ["", f"You ({short_date(turn.created)}):", printable(turn.user)]
        lines += flag_lines(turn)
        for kept in turn.withdrawn:
            lines += ["", "Withdrawn reply:", printable(kept.text), *withdrawn_lines(kept)]
        if turn.reply:
            lines += ["", "Reply:", printable(turn.reply)]
    return lines


def hit_lines(hit: Hit) -> list[str]:
    """A hit: where it is, then the words around it."""
    head = f"{hit.conversation_id}, turn {hit.number}, {_WHO[hit.role]}, {short_date(hit.created)}"
    before, after = _marks()
    parts = []
    for piece in hit.snippet:
        text = printable(piece.text).replace("\n", " ").replace("\t", " ")
        parts.append(f"{before}{text}{after}" if piece.found else text)
    return [f"{head}: {one_line(hit.title)}", "    " + "".join(parts).strip()]


def hit_fields(hit: Hit) -> dict[str, Any]:
    """The fields of a line of ``search --json``; `found` are ranges in `snippet`, in characters."""
    ranges = []
    place = 0
    for piece in hit.snippet:
        if piece.found:
            ranges.append([place, place + len(piece.text)])
        place += len(piece.text)
    return {
        "conversation": hit.conversation_id,
        "title": hit.title,
        "turn": hit.number,
        "role": hit.role,
        "created": hit.created,
        "snippet": "".join(piece.text for piece in hit.snippet),
        "found": ranges,
    }


def print_json(fields: Any) -> None:
    """One object on one line; plain ASCII on a terminal, which would obey some characters."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(fields, ensure_ascii=is_terminal(sys.stdout) or not utf8))


def _flags(summary: Summary) -> str:
    if not summary.flags:
        return "no flags"
    count = f"{summary.flags} flag{'' if summary.flags == 1 else 's'}"
    if summary.worst is None:
        return f"{UNREAD_SYMBOL} {count}, no verdict"
    return f"{SYMBOLS[summary.worst]} {count}, {summary.worst.words}"


def _marks() -> tuple[str, str]:
    """Around what was found: bold on a terminal that has it, signs elsewhere."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return ("«", "»") if plain or not is_terminal(sys.stdout) else ("\x1b[1;7m", "\x1b[0m")
