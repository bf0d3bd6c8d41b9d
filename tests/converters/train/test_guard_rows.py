"""What a record becomes: target, weight, times, context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.errors import DataError
from converters.train.guard_rows import (
    ContextSettings,
    SourceRule,
    exchanges,
    read_guard_rows,
    softened,
)
from oa_chat.verdict import LABELS, Severity
from tests.converters.train.small import talks, write_lines


def read(tmp_path: Path, rows: list[dict[str, Any]], *rules: SourceRule, skip: str = "-") -> Any:
    return read_guard_rows([write_lines(tmp_path / "r.jsonl", rows)], rules, [skip], 1)


def row(*levels: int, text: str = "Some words here.", **more: Any) -> dict[str, Any]:
    return {"text": text, "labels": [LABELS[level] for level in levels], **more}


@given(st.integers(0, 4), st.floats(0.5, 1))
def test_a_softened_target_is_a_distribution_around_its_level(level: int, mass: float) -> None:
    target = softened(Severity(level), mass)
    assert sum(target) == pytest.approx(1)
    assert target[level] == mass
    assert all(value == 0 for at, value in enumerate(target) if abs(at - level) > 1)


def test_neighbours_share_what_is_left() -> None:
    assert softened(Severity.PROBABLY, 0.8) == pytest.approx((0, 0.1, 0.8, 0.1, 0))
    assert softened(Severity.CASUAL, 0.8) == pytest.approx((0.8, 0.2, 0, 0, 0))


def test_several_levels_are_a_partial_label(tmp_path: Path) -> None:
    one, both, casual = read(tmp_path, [row(3), row(3, 4), row(0, 1)]).rows
    assert not one.partial
    assert both.partial
    assert both.target == (0, 0, 0, 1, 1)
    assert (one.flagged, both.flagged, casual.flagged) == (True, True, None)


def test_the_first_rule_that_fits_says_how_a_source_counts(tmp_path: Path) -> None:
    rules = (
        SourceRule(name="forum-*", kind="late", repeat=0),
        SourceRule(name="forum-*", weight=2.0, mass=0.8, short_words=4, short_weight=0.5),
        SourceRule(repeat=3),
    )
    rows = read(
        tmp_path,
        [
            row(2, source="forum-a", kind="late"),
            row(2, source="forum-a"),
            row(2, source="forum-b", text="I am long enough.", weight=0.5),
            row(0, source="other"),
        ],
        *rules,
    ).rows
    assert [one.source for one in rows] == ["forum-a", "forum-b", *["other"] * 3]
    assert [one.weight for one in rows[:2]] == [1.0, 1.0]
    assert rows[0].target == pytest.approx((0, 0.1, 0.8, 0.1, 0))


def test_half_of_a_source_is_the_same_half_each_time(tmp_path: Path) -> None:
    rows = [row(1, text=f"Message {number}.") for number in range(400)]
    rule = SourceRule(repeat=0.5)
    first, second = (read(tmp_path, rows, rule).rows for _ in range(2))
    assert first == second
    assert 150 < len(first) < 250


def test_sources_are_skipped_and_unlabelled_records_counted(tmp_path: Path) -> None:
    found = read(tmp_path, [row(1), row(2, source="bad-one"), {"text": "No label."}], skip="bad-*")
    assert len(found.rows) == 1
    assert found.unlabelled == 1


def test_five_numbers_are_a_target_of_their_own(tmp_path: Path) -> None:
    (one,) = read(tmp_path, [{"text": "x", "target": [0.1, 0.2, 0.3, 0.2, 0.2]}]).rows
    assert one.target == (0.1, 0.2, 0.3, 0.2, 0.2)
    assert not one.partial
    for wrong in ([0.5, 0.5], [1, 1, 1, 1, 1], [-1, 2, 0, 0, 0], "no"):
        with pytest.raises(DataError, match="line 1"):
            read(tmp_path, [{"text": "x", "target": wrong}])


def test_unrelated_exchanges_are_harmless_or_refused(tmp_path: Path) -> None:
    rows = read(tmp_path, [row(3, text="Bad thing."), row(0, text="Good thing.")]).rows
    files = [write_lines(tmp_path / "talks.jsonl", talks(4))]
    settings = ContextSettings(share=0.5, refused=0.25, refusals=["I will not do that."])
    made = exchanges(settings, files, rows)
    refused = [text for text in made if "I will not" in text]
    assert set(refused) == {"user: Bad thing. assistant: I will not do that."}
    assert 0.2 < len(refused) / len(made) < 0.3
    assert "user: 0 times. Hello there! assistant: Hello! How are you today?" in made
    assert exchanges(ContextSettings(), files, rows) == []
    with pytest.raises(DataError, match="no exchanges"):
        exchanges(ContextSettings(share=0.5), [], rows)
