"""Finds numbers that lead to a person: phones, payment cards, IBANs; used by the step `scrub`.

A row of digits is most often none of these, so each needs proof. Cards: Luhn's check digit
(ISO/IEC 7812-1) and a prefix that is given out. IBANs: the country's length (SWIFT's IBAN registry)
and the check digits, modulo 97 (ISO 13616). Phones: valid for `phonenumbers` (Google's metadata),
and either written with the country's code, or set out as phone numbers are, or announced ("call").
Free-call numbers stay: a helpline is what somebody may need to read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Span = tuple[int, int]

_CARD = re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)", re.ASCII)
_ISSUED = re.compile(
    r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|6(?:011|4[4-9]|5)|35"
    r"|62|5018|50[2-3]|5[6-8]|6[37]"
)
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}", re.ASCII)
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST",
        26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_PHONE = re.compile(
    r"(?<![\w.,$€£¥#@=_:/<-])(?:\+|00)?[(]?\d[\d ().\-/\u2010-\u2013]{5,24}\d(?![\w%€£$]|[.,:]\d)"
)
_ANNOUNCED = re.compile(
    r"\b(?:call|text|phone|tel|telephone|cell|mobile|whatsapp|sms|dial|ring|fax|reach|contact"
    r"|handy|anrufen|llama|tél|telefon|teléfono)\b[^.!?\n\d]{0,30}$"
    r"|\b(?:number|no\.?|nummer|número)\b[^.!?\n\d]{0,12}$",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\b(?:order|invoice|ticket|tracking|case|ref(?:erence)?|id|account|serial|model|isbn|issn|doi"
    r"|item|part|sku|version|build|patent|flight|article|case)\b[^.!?\n\d]{0,16}$",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:[0-2]?\d|3[01])(?!\d)"
    r"|(?:[0-2]?\d|3[01])[-/. ](?:[0-2]?\d|3[01])[-/. ](?:19|20)?\d\d$"
    r"|(?:1[5-9]|20)\d\d ?[-\u2013/] ?(?:1[5-9]|20)\d\d"
)
_ISBN = re.compile(r"97[89][- ]?\d[- \d]{8,12}\d$")
_SET_OUT = re.compile(
    r"\+?\d{0,3}[ .-]?\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,5}"  # (020) 7946 0958
    r"|(?:\+?1[ .-])?\d{3}([ .-])\d{3}\1\d{4}"  # 415-555-2671
    r"|0\d{2,5}[ /-]\d{3,8}(?:[ -]\d{2,6}){0,3}"  # 020 7946 0958, 030/123456
    r"|0\d(?:[ .]\d\d){4}"  # 06 12 34 56 78
)
_LEAST_LOCAL = re.compile(r"\d{3}[ .-]\d{4}")
"""An American number without its area; only when announced."""


def cards(text: str) -> list[Span]:
    """Numbers of payment cards."""
    return [match.span() for match in _CARD.finditer(text) if _is_card(match.group())]


def _is_card(written: str) -> bool:
    digits = written.replace(" ", "").replace("-", "")
    if not _ISSUED.match(digits) or len(set(digits)) < 2:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def ibans(text: str) -> list[Span]:
    """International bank account numbers."""
    spans = []
    for match in _IBAN.finditer(text):
        end = _end_of_iban(match.group())
        if end:
            spans.append((match.start(), match.start() + end))
    return spans


def _end_of_iban(written: str) -> int:
    """Where the IBAN that starts this text ends; 0 if it is none."""
    length = _IBAN_LENGTHS.get(written[:2].upper(), 0)
    places = [at for at, character in enumerate(written) if character.isalnum()]
    if not length or len(places) < length:
        return 0
    end = places[length - 1] + 1
    if end < len(written) and written[end].isalnum():
        return 0
    account = "".join(written[at] for at in places[:length])
    moved = (account[4:] + account[:4]).upper()
    return end if int("".join(str(int(character, 36)) for character in moved)) % 97 == 1 else 0


class Phones:
    """Finds phone numbers of some regions, and of all when the country's code is written."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = tuple(regions)

    def find(self, text: str) -> list[Span]:
        """Phone numbers."""
        spans = []
        for match in _PHONE.finditer(text):
            written = match.group()
            digits = sum(map(str.isdigit, written))
            if 7 <= digits <= 15 and self._is_phone(written, text[: match.start()][-48:]):
                spans.append(match.span())
        return spans

    def _is_phone(self, written: str, before: str) -> bool:
        if written.startswith(("+", "00")):
            number = written if written[0] == "+" else f"+{written[2:]}"
            return self._is_valid(number, None)
        if _DATE.match(written) or _ISBN.match(written) or _COUNTED.search(before):
            return False
        announced = _ANNOUNCED.search(before) is not None
        if _LEAST_LOCAL.fullmatch(written):
            return announced
        if not announced and not _SET_OUT.fullmatch(written):
            return False
        return any(self._is_valid(written, region) for region in self._regions)

    def _is_valid(self, written: str, region: str | None) -> bool:
        import phonenumbers as p

        try:
            number = p.parse(written, region)
        except p.NumberParseException:
            return False
        return p.is_valid_number(number) and p.number_type(number) not in (
            p.PhoneNumberType.TOLL_FREE,
            p.PhoneNumberType.SHARED_COST,
            p.PhoneNumberType.PREMIUM_RATE,
            p.PhoneNumberType.UAN,
        )
