"""A conversation as one HTML page that needs nothing else and runs nothing.

All text is escaped. The policy in the page's head allows the one style sheet that it names by its
hash, and no script, picture, frame, form or connection.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from oa_chat.conversation import Conversation, Turn
from oa_chat.exports.facts import facts_of, flag_lines, short_date, withdrawn_lines
from oa_chat.printable import printable

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1c1b22; --soft: #5c5b66;
  --you: #eef2fb; --reply: #f6f6f8; --flag: #8a4b00; }
@media (prefers-color-scheme: dark) { :root { --page: #17171c; --text: #ececf1; --soft: #a9a8b4;
  --you: #222b3d; --reply: #212127; --flag: #ffb86b; } }
body { margin: 0 auto; max-width: 46rem; padding: 1.5rem 1rem; background: var(--page);
  color: var(--text); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 .4rem; font-size: .85rem; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
article { margin: 1rem 0; padding: .8rem 1rem; border-radius: .6rem; background: var(--reply); }
article.you { background: var(--you); }
.text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
ul { margin: .7rem 0 0; padding: 0; list-style: none; color: var(--flag); }
"""


def html_page(conversation: Conversation) -> str:
    """The page."""
    facts = facts_of(conversation)
    rows = [
        ("Date", short_date(facts.date)),
        ("Model", facts.model),
        ("Guard", facts.guard),
        ("Messages", str(facts.messages)),
    ]
    known = "".join(f"<dt>{name}</dt><dd>{escape(said)}</dd>" for name, said in rows if said)
    title = escape(facts.title)
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f'<h1 dir="auto">{title}</h1>\n<dl>{known}</dl>',
    ]
    if conversation.system_prompt:
        parts.append(_article("System prompt", conversation.system_prompt, "", []))
    for turn in conversation.turns:
        parts += _turn(turn)
    return "\n".join([*parts, "</body>\n</html>\n"])


def _turn(turn: Turn) -> list[str]:
    date = short_date(turn.created)
    parts = [_article(f"You, {date}" if date else "You", turn.user, "you", flag_lines(turn))]
    parts += [
        _article("Withdrawn reply", kept.text, "reply", withdrawn_lines(kept))
        for kept in turn.withdrawn
    ]
    if turn.reply:
        name = f"Reply, {printable(turn.model)}" if turn.model else "Reply"
        parts.append(_article(name, turn.reply, "reply", []))
    return parts


def _article(heading: str, text: str, kind: str, lines: list[str]) -> str:
    marks = "".join(f"<li>{escape(line)}</li>" for line in lines)
    listed = f"\n<ul>{marks}</ul>" if marks else ""
    body = f'<div class="text" dir="auto">{escape(printable(text))}</div>'
    return f'<article class="{kind}">\n<h2>{escape(heading)}</h2>\n{body}{listed}\n</article>'


def _policy() -> str:
    """Content Security Policy Level 3: nothing at all but this very style sheet."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
