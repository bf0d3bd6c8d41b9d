"""The messages that come with the recipes are what their README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from converters.prepare.exact import fingerprint
from converters.records import Record, read_records
from oa_chat.verdict import Severity

FOLDER = Path(__file__).parents[2] / "converters" / "recipes" / "written"


def part(name: str) -> list[Record]:
    return list(read_records(FOLDER / f"{name}.jsonl.gz"))


@pytest.mark.parametrize("name", ["train", "dev"])
def test_each_message_has_one_level_and_a_rule_unless_it_is_casual(name: str) -> None:
    records = part(name)
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}.jsonl.gz` | {len(records)}" in page
    kinds = set(re.findall(r"^\| `(\w)` \|", page, re.MULTILINE))
    assert {record.row.kind for record in records} <= kinds
    for record in records:
        (level,) = record.levels
        assert len(record.rules) == (level is not Severity.CASUAL), record.text
        assert record.text.strip() == record.text
        assert record.row.licence == "CC0-1.0"


def test_no_message_stands_in_there_twice() -> None:
    records = part("train") + part("dev")
    seen = {fingerprint("\n".join(one.text for one in record.messages)) for record in records}
    assert len(seen) == len(records)
