"""Where a person can get help: the data is whole, and the right country is found."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.commands.help import help_lines
from oa_chat.config import HelpSettings, Settings
from oa_chat.help_lines import HelpLines, country_from_locale, lines_for
from oa_chat.policy import HELP_TOPICS

DATA = tomllib.loads(
    resources.files("oa_chat").joinpath("help_lines.toml").read_text(encoding="utf-8")
)
CODES = [entry["code"] for entry in DATA["country"]]
EU = DATA["european_union"]["members"]


def number_of(found: HelpLines, topic: str) -> set[str]:
    return {line.number for line in found.lines if line.topic == topic}


def test_there_are_enough_countries_each_once_and_in_order() -> None:
    assert len(CODES) >= 30
    assert len(set(CODES)) == len(CODES)
    assert sorted(CODES) == CODES


def test_most_countries_have_a_crisis_line() -> None:
    assert sum(bool(lines_for(code).about("crisis")) for code in CODES) >= 30


@pytest.mark.parametrize("code", CODES)
def test_each_country_is_whole(code: str) -> None:
    found = lines_for(code)
    assert re.fullmatch("[A-Z]{2}", code)
    assert found.country == code
    assert found.name
    assert re.match(r"\d{3}", found.emergency)
    assert found.lines
    for line in found.lines:
        assert line.name
        assert line.topic in {"crisis", "abuse", "children"}
        assert line.site
        assert bool(line.source) is bool(line.checked)
        assert not line.checked or dt.date.fromisoformat(line.checked) <= found.reviewed
        assert line.number or line.url
        assert re.fullmatch(r"[*\d][\d -]*", line.number) or not line.number
        assert not line.url or line.url.startswith("https://")


def test_known_keys_only() -> None:
    known = {"name", "number", "url", "topic", "hours", "site", "source", "checked"}
    for entry in DATA["country"]:
        assert entry.keys() == {"code", "name", "emergency", "lines"}
        for line in entry["lines"]:
            assert line.keys() <= known


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("US", "988"),
        ("CA", "988"),
        ("GB", "116 123"),
        ("IE", "116 123"),
        ("DE", "0800 111 0 111"),
        ("FR", "3114"),
        ("ES", "024"),
        ("NL", "113"),
        ("AT", "142"),
        ("CH", "143"),
        ("AU", "13 11 14"),
        ("NZ", "1737"),
        ("IN", "14416"),
        ("BR", "188"),
        ("KR", "109"),
    ],
)
def test_well_known_crisis_lines(code: str, number: str) -> None:
    assert number in number_of(lines_for(code), "crisis")


def test_every_topic_of_the_policies_has_lines() -> None:
    topics = {line.topic for code in CODES for line in lines_for(code).lines}
    assert set(HELP_TOPICS.values()) == topics


def test_what_was_confirmed_is_told_from_what_was_not() -> None:
    germany = lines_for("DE")
    assert germany.about("crisis")[0].confirmed
    assert germany.international.confirmed
    told = help_lines(Settings(help=HelpSettings(country="DE")))
    assert any("TelefonSeelsorge:\n  0800 111 0 111" in line for line in told)
    for line in germany.lines:
        (shown,) = [text for text in told if text.startswith(line.name)]
        assert ("not confirmed" in shown) is not line.confirmed
    assert any(not line.confirmed for code in CODES for line in lines_for(code).lines)


@pytest.mark.parametrize("code", [*CODES, "XX"])
def test_no_number_is_cut_in_two_on_a_narrow_screen(code: str) -> None:
    told = help_lines(Settings(help=HelpSettings(country=code)))
    for line in lines_for(code).lines:
        (shown,) = [text for text in told if text.startswith(f"{line.name}:")]
        (row,) = [row for row in shown.splitlines() if line.number in row]
        place = row.index(line.number) + len(line.number)
        assert place <= 68


def test_without_a_country_the_local_emergency_number_is_named() -> None:
    told = help_lines(Settings(help=HelpSettings(country="XX")))
    assert told[1] == "In danger right now: please call your local emergency number"


def test_the_review_has_a_date() -> None:
    assert lines_for("US").reviewed == dt.date(2026, 11, 24)


@pytest.mark.parametrize("country", [None, "", "XX", "Germany", "\x1b[31m", "d", "🇩🇪"])
def test_an_unknown_country_still_gets_the_directory(country: str | None) -> None:
    found = lines_for(country)
    assert found.country is None
    assert found.lines == ()
    assert found.emergency == ""
    assert found.international.url == "https://findahelpline.com"


@pytest.mark.parametrize("code", ["de", " De ", "DE"])
def test_the_code_may_be_written_in_any_case(code: str) -> None:
    assert lines_for(code) == lines_for("DE")


@pytest.mark.parametrize("code", EU)
def test_every_member_of_the_union_has_a_line_for_children(code: str) -> None:
    found = lines_for(code)
    assert found.about("children")
    assert found.emergency == "112"


def test_a_member_without_a_list_gets_the_common_numbers() -> None:
    assert "BG" not in CODES
    assert number_of(lines_for("BG"), "children") == {"116 111"}


@pytest.mark.parametrize(
    ("env", "country"),
    [
        ({"LANG": "de_DE.UTF-8"}, "DE"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "fr_FR.UTF-8"}, "FR"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "en_GB"}, "GB"),
        ({"LANG": "en_IE@euro"}, "IE"),
        ({"LANG": "en-AU"}, "AU"),
        ({"LANG": "sr_Latn_RS.UTF-8"}, "RS"),
        ({"LANG": "de_AT", "LC_ALL": "C.UTF-8"}, "AT"),
        ({"LANG": "pt_br"}, "BR"),
        ({"LANG": "C"}, None),
        ({"LANG": "C.UTF-8"}, None),
        ({"LANG": "POSIX"}, None),
        ({"LANG": "en"}, None),
        ({"LANG": ""}, None),
        ({"LANG": "en_USA"}, None),
        ({"HOME": "/root"}, None),
        ({}, None),
    ],
)
def test_the_country_in_a_locale(env: dict[str, str], country: str | None) -> None:
    assert country_from_locale(env) == country


@given(st.dictionaries(st.sampled_from(["LC_ALL", "LC_MESSAGES", "LANG"]), st.text()))
def test_any_locale_leads_to_some_help(env: dict[str, str]) -> None:
    assert lines_for(country_from_locale(env)).international.url
