"""A conversation as Markdown with front matter.

Nothing in the text may end what it stands in. Typed text lies in a fence that is longer than any
run of backticks in it. A reply keeps its own Markdown and lies in a block quote, where a fence or
an HTML block that it leaves open ends with the quote (CommonMark 0.31, section 5.1).
"""

from __future__ import annotations

import json
import re

from oa_chat.conversation import Conversation, Turn
from oa_chat.exports.facts import facts_of, flag_lines, short_date, withdrawn_lines
from oa_chat.printable import printable

_SPECIAL = re.compile(r"([!-/:-@\[-`{-~])")
"""ASCII punctuation: what a backslash takes the meaning of."""
_KEPT = re.compile(r"\\([,.:;'()%?-])")
"""Punctuation that means nothing within a line."""


def markdown(conversation: Conversation) -> str:
    """The file."""
    facts = facts_of(conversation)
    head = [
        "---",
        f"title: {_quoted(facts.title)}",
        f"date: {_quoted(facts.date)}",
        f"model: {_quoted(facts.model)}",
        f"guard: {_quoted(facts.guard)}",
        f"messages: {facts.messages}",
        "---",
        "",
        f"# {_escaped(facts.title)}",
    ]
    if conversation.system_prompt:
        head += ["", "System prompt:", "", _fenced(conversation.system_prompt)]
    return "\n".join(head + [_turn(turn) for turn in conversation.turns]) + "\n"


def _turn(turn: Turn) -> str:
    parts = ["", f"## You, {short_date(turn.created)}", "", _fenced(turn.user)]
    lines = [f"- {_escaped(line)}" for line in flag_lines(turn)]
    if lines:
        parts += ["", *lines]
    for kept in turn.withdrawn:
        said = [f"- {_escaped(line)}" for line in withdrawn_lines(kept)]
        parts += ["", "## Withdrawn reply", "", _fenced(kept.text), "", *said]
    if turn.reply:
        heading = f"## Reply, {_escaped(printable(turn.model))}" if turn.model else "## Reply"
        quoted = (f"> {line}".rstrip() for line in printable(turn.reply).split("\n"))
        parts += ["", heading, "", *quoted]
    return "\n".join(parts)


def _fenced(text: str) -> str:
    shown = printable(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _quoted(text: str) -> str:
    """A YAML string: JSON's strings are YAML's double-quoted ones (YAML 1.2, section 7.3.1)."""
    return json.dumps(text, ensure_ascii=False)


def _escaped(line: str) -> str:
    """A line whose characters mean only themselves."""
    return _KEPT.sub(r"\1", _SPECIAL.sub(r"\\\1", " ".join(line.split())))
