"""Finds what names a person or a machine on the internet; used by the step `scrub`.

Every finder gives (start, end) of what it finds, and looks first for something that is cheap to
look for. The forms are those that people type, not the whole of the standards: an e-mail address
as in RFC 5322 without quotes and comments, IP addresses as in RFC 4291 and RFC 6943.
"""

from __future__ import annotations

import ipaddress
import re

Span = tuple[int, int]

_EMAIL = re.compile(r"(?<![\w.%+@-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w@-])")
_SPELT = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64} ?(?:[\[({] ?at ?[\])}]|@| at ) ?[\w-]{1,63}"
    r"(?: ?(?:[\[({] ?dot ?[\])}]| dot ) ?[\w-]{1,63}){0,3}"
    r" ?(?:[\[({] ?dot ?[\])}]|(?<= )dot |\.) ?"
    r"(?:com|net|org|edu|gov|info|io|co|uk|de|fr|it|es|nl|ca|au|in|me)(?!\w)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?<=://)[^\s/@<>?#]{1,200}(?=@[\w\[])")
# Reddit: 3 to 20 of these (reddit.com/r/help); elsewhere dots and up to 30.
_REDDITOR = re.compile(r"(?<![\w/.<-])/?u(?:ser)?/[A-Za-z0-9_-]{3,20}(?![\w/-])", re.IGNORECASE)
_AT_NAME = re.compile(
    r"(?<![\w.@/>+-])@(?=[\w.]*[^\W\d])(\w[\w.]{0,28}\w)(?:@(?:[\w-]{1,63}\.){1,4}[a-z]{2,24})?"
    r"(?![\w@])"
)
_DISCORD = re.compile(r"(?<![\w#@.])@?[A-Za-z_][\w.]{1,31}#\d{4}(?!\w)")
_NO_NAMES = re.compile(
    "home|work|school|night|noon|least|the|all|everyone|here|channel|gmail|yahoo|hotmail"
    "|property|staticmethod|classmethod|dataclass|override|media|import"
)
_HOUR = re.compile(r"\d{1,2}(?:am|pm|ish|h)?")
_V4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
_VERSION = re.compile(
    r"(?:\bv(?:er(?:sion)?)?s?|\brelease|\bbuild|\bfirmware|\bupdate|\bpatch|\bdriver|\bios"
    r"|\bandroid|\bchrome|\bsection|\bchapter|§)[ .:#]*$",
    re.IGNORECASE,
)
_V6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])"
)
_NOBODY = frozenset(("0.0.0.0", "255.255.255.255"))  # noqa: S104 - an address to leave alone


def emails(text: str) -> list[Span]:
    """E-mail addresses, also those spelt out (`name [at] host [dot] com`)."""
    known = {end for _, end in logins(text)}
    found = _EMAIL.finditer(text) if "@" in text else ()
    spans = [match.span() for match in found if text.index("@", match.start()) not in known]
    lower = text.lower()
    if "at]" in lower or "at)" in lower or "at }" in lower or "at ]" in lower or " dot " in lower:
        spans += [match.span() for match in _SPELT.finditer(text)]
    return spans


def logins(text: str) -> list[Span]:
    """The user, with the password if there is one, in an address such as https://me:pw@host."""
    if "://" not in text or "@" not in text:
        return []
    return [match.span() for match in _LOGIN.finditer(text)]


def handles(text: str) -> list[Span]:
    """User names: `u/name`, `@name`, `@name@host`, `name#1234`; not `r/name`, not `5@home`."""
    spans: list[Span] = []
    if "/" in text:
        spans += [match.span() for match in _REDDITOR.finditer(text)]
    if "@" in text:
        for match in _AT_NAME.finditer(text):
            name = match.group(1).lower()
            if not _NO_NAMES.fullmatch(name) and not _HOUR.fullmatch(name):
                spans.append(match.span())
    if "#" in text:
        spans += [match.span() for match in _DISCORD.finditer(text)]
    return spans


def ips(text: str) -> list[Span]:
    """IP addresses that may be somebody's: not loopback, not 0.0.0.0, not version numbers."""
    spans: list[Span] = []
    if text.count(".") >= 3:
        for match in _V4.finditer(text):
            before = text[max(0, match.start() - 16) : match.start()]
            if _is_somebodys_v4(match.group()) and not _VERSION.search(before):
                spans.append(match.span())
    if text.count(":") >= 2:
        spans += [match.span() for match in _V6.finditer(text) if _is_v6(match.group())]
    return spans


def _is_somebodys_v4(address: str) -> bool:
    parts = address.split(".")
    if any(int(part) > 255 or (len(part) > 1 and part[0] == "0") for part in parts):
        return False
    return parts[0] != "127" and address not in _NOBODY


def _is_v6(address: str) -> bool:
    if len(address) < 6 or not any(map(str.isdigit, address)):
        return False  # "a::b" and "::1" are code or nobody's
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True
