"""Takes Reddit's markdown and HTML's entities off a text; used by the step `normalise`.

One pass each: what a mark hid may be a mark again, so the caller repeats until nothing changes.
`/u/` and `/r/` names are left alone. Source of the marks: Reddit's formatting guide
(support.reddithelp.com, "Formatting Guide").
"""

from __future__ import annotations

import re

URL_MARK = "<url>"

_FENCE = re.compile(r"```[^\n`]{0,40}\n(.{0,20000}?)```", re.DOTALL)
_INLINE_CODE = re.compile(r"(`{1,2})(?=[^`])([^`\n]{1,500})\1(?!`)")
_SPOILER = re.compile(r">!\s?([^\n]{1,2000}?)\s?!<")
_LINK = re.compile(
    r"!?\[([^\[\]]{0,1000})\]"
    r"\(\s?((?:https?:|mailto:|www\.|giphy\||emote\||[/#])[^()\s]{0,2000}(?:\([^()\s]{0,200}\))?"
    r"[^()\s]{0,200})(?:\s+\"[^\"\n]{0,300}\")?\s?\)"
)
_URL = re.compile(
    r"(?<![\w@.])(?:(?:https?|ftp)://|www\.(?=[\w-]+\.))[^\s<>\[\]{}|\\^`\"]+"
    r"|(?<![\w@./:-])(?:[a-z0-9-]{1,63}\.){1,4}"
    r"(?:com|org|net|edu|gov|io|co|me|be|it|gg|ly|tv|uk|de|fr|app|dev|info)/[^\s<>\[\]{}|\\^`\"]*",
    re.IGNORECASE,
)
_AFTER_URL = ".,;:!?'*_~"
_URL_RUN = re.compile(r"<url>(?:[ ,]*<url>)+")
# A mark that touches a space or another mark is none: 2 * 3 * 4, f**k, ****, ^_^.
_EMPHASIS = (
    re.compile(r"(?<![\w*\\])(\*{1,3})(?![\s*])([^\n]{1,1000}?)(?<![\s*\\])\1(?![\w*])"),
    re.compile(r"(?<![^\s(\"'*~\[])(_{1,3})(?![\s_])([^\n]{1,1000}?)(?<![\s_\\])\1(?!\w)"),
    re.compile(r"(?<![\w~\\])(~~)(?![\s~])([^\n]{1,1000}?)(?<![\s~\\])\1(?![\w~])"),
)
_RAISED = re.compile(r"\^\(([^()\n]{1,500})\)|(?<!\S)\^+(?=[^\W_])")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+", re.MULTILINE)
_RULE = re.compile(r"^ {0,3}(?:(?:\* ?){3,}|(?:- ?){3,}|(?:_ ?){3,})$", re.MULTILINE)
# ">:(" and ">_<" are faces.
_QUOTE = r"^ {0,3}>(?![:;=8._<!]|\s?$)"
_QUOTED_LINE = re.compile(_QUOTE + r"[^\n]*\n?", re.MULTILINE)
_QUOTE_MARK = re.compile(_QUOTE + r"[> ]*", re.MULTILINE)
_EMPTY_QUOTE = re.compile(r"^ {0,3}>[> ]*$", re.MULTILINE)
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!>~|^&<])")


def without_markdown(text: str, *, quotes: bool, code: bool) -> str:
    """The text without marks; `quotes` and `code` say whether what stands in them stays."""
    if "`" in text:
        text = _FENCE.sub(r"\1" if code else "", text)
        text = _INLINE_CODE.sub(r"\2" if code else "", text)
    if ">" in text:
        text = _SPOILER.sub(r"\1", text)
        text = _EMPTY_QUOTE.sub("", text)
        text = _QUOTE_MARK.sub("", text) if quotes else _QUOTED_LINE.sub("", text)
    if "[" in text and "](" in text:
        text = _LINK.sub(lambda link: link.group(1).strip() or URL_MARK, text)
    if "#" in text:
        text = _HEADING.sub("", text)
    text = _without_emphasis(text)
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _without_emphasis(text: str) -> str:
    if "***" in text or "* *" in text or "---" in text or "- -" in text or "___" in text:
        text = _RULE.sub("", text)
    for mark, pattern in zip("*_~", _EMPHASIS, strict=True):
        if text.count(mark) > 1:
            text = pattern.sub(r"\2", text)
    if "^" in text:
        text = _RAISED.sub(lambda raised: raised.group(1) or "", text)
    return text


def without_urls(text: str) -> str:
    """The text with URL_MARK for each address; a row of them becomes one."""
    if "/" in text or "www." in text.lower():  # the pattern alone takes microseconds to say no
        text = _URL.sub(_mark, text)
    return _URL_RUN.sub(URL_MARK, text) if text.count(URL_MARK) > 1 else text


def _mark(url: re.Match[str]) -> str:
    found = url.group()
    bare = found.rstrip(_AFTER_URL)
    while bare.endswith(")") and bare.count("(") < bare.count(")"):
        bare = bare[:-1].rstrip(_AFTER_URL)
    return URL_MARK + found[len(bare) :]
