"""Every guard's published categories have a name of ours, and nothing else has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.guards.taxonomy import (
    CATEGORIES,
    LISTS,
    OTHER,
    SOURCES,
    Listed,
    knows,
    map_categories,
    map_category,
    unsafe,
)
from oa_chat.verdict import Severity

ROWS = [(family, row) for family, rows in LISTS.items() for row in rows]


@pytest.mark.parametrize(("family", "row"), ROWS, ids=lambda value: getattr(value, "code", value))
def test_each_published_category_has_a_name_of_ours(family: str, row: Listed) -> None:
    assert row.ours in CATEGORIES
    assert map_category(family, row.code) == row.ours
    assert map_category(family, f" {row.name.upper()}. ") == row.ours
    assert knows(family, row.code)


def test_the_lists_are_whole_and_have_a_source() -> None:
    sizes = {family: len(rows) for family, rows in LISTS.items()}
    assert sizes == {
        "llama-guard": 14,
        "polyguard": 14,
        "qwen3guard": 9,
        "shieldgemma": 4,
        "granite-guardian": 13,
        "xguard": 28,
        "nemoguard": 23,
        "openai-moderation": 13,
    }
    assert set(SOURCES) == set(LISTS)
    for rows in LISTS.values():
        assert len({row.code for row in rows}) == len(rows)


@given(st.sampled_from([*LISTS, "unknown"]), st.text())
def test_what_nobody_published_is_other(family: str, code: str) -> None:
    assert map_category(family, code) in CATEGORIES
    if not knows(family, code):
        assert map_category(family, code) == OTHER


def test_several_codes_keep_their_order_and_other_gives_way() -> None:
    assert map_categories("llama-guard", ["S10", "S1", "S10", "S99"]) == ("hate", "violence")
    assert map_categories("llama-guard", ["S99", "S6"]) == (OTHER,)
    assert map_categories("llama-guard", []) == ()


def test_codes_of_another_family_do_not_count() -> None:
    assert map_category("qwen3guard", "S1") == OTHER
    assert map_category("xguard", "Violent Crimes") == OTHER


def test_what_needs_a_human_being_is_the_last_level() -> None:
    assert unsafe(()) is Severity.CAUTION
    assert unsafe(["weapons", "violence"]) is Severity.CAUTION
    assert unsafe(["violence", "self_harm"]) is Severity.INTERVENTION
