from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.scrub import KINDS, Scrub, ScrubSettings

# Every number and name here is made up or reserved for examples.
FOUND = [
    ("write to jane.doe@mail.example.org.", "write to <email>."),
    ("JANE+x@b.example.co.uk is mine", "<email> is mine"),
    ("jürgen@münchen.example.de schreiben", "<email> schreiben"),
    ("kim [at] example [dot] com", "<email>"),
    ("kim at example dot org please", "<email> please"),
    ("kim(at)example.org", "<email>"),
    ("clone https://me:pw@host.example.org/x", "clone https://<user>@host.example.org/x"),
    ("ftp://joe@files.example.net", "ftp://<user>@files.example.net"),
    ("u/some_name and /u/other-1 said", "<user> and <user> said"),
    ("thanks @jane_doe, and @j.d.", "thanks <user>, and <user>."),
    ("@me@social.example.org posted", "<user> posted"),
    ("add Kitty#1234 on discord", "add <user> on discord"),
    ("@user you know", "<user> you know"),
    ("card 4111 1111 1111 1111 exp", "card <card> exp"),
    ("5500-0000-0000-0004", "<card>"),
    ("my amex 378282246310005", "my amex <card>"),
    ("to DE89 3704 0044 0532 0130 00 please", "to <iban> please"),
    ("gb82WEST12345698765432", "<iban>"),
    ("FR1420041010050500013M02606", "<iban>"),
    ("from 8.8.8.8 again", "from <ip> again"),
    ("ssh root@192.168.1.20", "ssh root@<ip>"),
    ("host 10.1.2.3:8080", "host <ip>:8080"),
    ("at 2001:db8::8a2e:370:7334 now", "at <ip> now"),
    ("fe80::1ff:fe23:4567:890a", "<ip>"),
    ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "<ip>"),
    ("call me at 415-555-2671", "call me at <phone>"),
    ("(212) 555-0187 works", "<phone> works"),
    ("+44 20 7946 0958", "<phone>"),
    ("0049 30 901820 ab acht", "<phone> ab acht"),
    ("020 7946 0958", "<phone>"),
    ("06 12 34 56 78", "<phone>"),
    ("my number is 4155552671", "my number is <phone>"),
    ("text 555-0134 tonight", "text <phone> tonight"),
    ("+91 98765 43210", "<phone>"),
]
MISSED = ["reach me under four one five 555 26 71", "my insta is jane dot doe", "kim@localhost"]
"""Known misses; a table that says so is of more use than one that hides them."""
STAYS = [
    "working 5@home today, see you @home or @5pm",
    "version 1.2.3.4 and v10.2.0.1, firmware 4.0.1.2",
    "section 1.2.3.4.5 of 127.0.0.1 and 0.0.0.0",
    "999.1.1.1 is none",
    "at 12:30:45 in std::vector, a::b, ::1",
    "MAC 00:1a:2b:3c:4d:5e",
    "in 1914-1918 and 1939-1945",
    "on 2024-10-31, or 31/10/2024, or 10/31/24",
    "it cost $1,234,567.89 or 12.345.678,90",
    "order 4155552671 and ticket 2125550187",
    "ISBN 978-3-16-148410-0",
    "pi is 3.14159265358979",
    "100 000 000 people in 1999 2000 2001",
    "faces 8) :-) 8-D <3 and 5'11\"",
    "card 4111 1111 1111 1112, code 1234567812345678",
    "DE00 3704 0044 0532 0130 00",
    "call 1-800-273-8255 or 988, text 741741",
    "r/help and I/u/x and w/u/",
    "issue #1234 in C#2020",
    "10:30-11:45, 21-14, 24-10, 3/4",
    "the year 2021 2022 2023 2024",
    "email me @ noon, 50% off @ 3.99",
    "<email> <phone> <ip> <user> <card> <iban> <url>",
    "look at example dot by dot",
    "4 8 15 16 23 42 108",
]


def scrubbed(text: str, **settings: bool) -> tuple[str, dict[str, int]]:
    notes: dict[str, int] = {}
    return Scrub(ScrubSettings(**settings)).text(text, notes), notes


@pytest.mark.parametrize(("text", "wanted"), FOUND)
def test_personal_data_becomes_its_kind(text: str, wanted: str) -> None:
    result, notes = scrubbed(text)
    assert result == wanted
    assert sum(notes.values()) == sum(wanted.count(f"<{kind}>") for kind in KINDS)


@pytest.mark.parametrize("text", STAYS)
def test_lookalikes_stay(text: str) -> None:
    assert scrubbed(text) == (text, {})


def test_precision_and_recall_on_the_table() -> None:
    right = sum(scrubbed(text)[0] == wanted for text, wanted in FOUND)
    missed = sum(scrubbed(text)[0] == text for text in MISSED)
    wrong = sum(scrubbed(text)[0] != text for text in STAYS)
    precision, recall = right / (right + wrong), right / (right + missed)
    print(f"scrub: precision {precision:.3f}, recall {recall:.3f}, {len(FOUND + STAYS)} texts")
    assert precision >= 0.98
    assert recall >= 0.90


def test_turns_and_rules_are_scrubbed_and_counted() -> None:
    draft = Draft(
        "1", "s", "t", "", "", "I am u/jane_d", [("user", "a@b.example.org or c@d.example.org")],
        (), ("Do not call +44 20 7946 0958.",),
    )  # fmt: skip
    assert Scrub(ScrubSettings()).apply(draft) == KEEP
    assert draft.text == "I am <user>"
    assert draft.context == [("user", "<email> or <email>")]
    assert draft.rules == ("Do not call <phone>.",)
    assert draft.notes == {"user": 1, "email": 2, "phone": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_left(kind: str) -> None:
    text = next(text for text, wanted in FOUND if f"<{kind}>" in wanted)
    assert f"<{kind}>" not in scrubbed(text, **{kind: False})[0]


def test_the_longest_of_overlapping_finds_counts() -> None:
    assert scrubbed("@me@social.example.org")[0] == "<user>"
    assert scrubbed("a.b+c@mail.example.org@home")[0].count("<") <= 1


PIECES = st.sampled_from(
    ["@", "a", "b.example.org", "u/", "name", "415", "-", "555", "2671", "+44", " ", "8.8.8.8", ":",
     "//", "http", "4111", "1111", "DE89", "3704", "<email>", "<", ">", "#", "::", "2001", "at",
     "(",
     ")", "dot", "com", "call", "."]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=80)))
def test_twice_is_once_and_nothing_raises(text: str) -> None:
    once, _ = scrubbed(text)
    assert scrubbed(once) == (once, {})
