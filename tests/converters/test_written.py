"""The messages that come with the recipes are what their README says."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from converters.prepare.exact import fingerprint
from converters.records import Record, read_records
from oa_chat.policy import compose_sent
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


def talks() -> list[dict[str, Any]]:
    with gzip.open(FOLDER / "chat.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_the_conversations_are_what_their_page_says() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = talks()
    assert f"`chat.jsonl.gz`: {len(rows)} conversations" in page
    told = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \|$", page, re.MULTILINE)
    assert Counter(row["kind"] for row in rows) == {kind: int(count) for kind, count in told}
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(message["content"].strip() for message in row["messages"])
        assert row["licence"] == "CC0-1.0"


def test_guidelines_are_in_the_form_that_the_app_sends() -> None:
    for row in talks():
        *earlier, last, reply = (message["content"] for message in row["messages"])
        text, mark, rule = last.partition("\n\n[Guideline: ")
        assert bool(mark) == (row["kind"] == "guideline"), last
        if mark:
            assert last == compose_sent(text, rule.removesuffix("]"))
        assert "[Guideline" not in " ".join([*earlier, reply])


def test_the_rules_are_as_many_as_their_page_says_and_far_from_what_is_judged() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    rules = part("rules")
    assert f"`rules.jsonl.gz`: {len(rules)} flagged messages" in page
    texts = {record.text.casefold() for record in rules}
    assert len(texts) == len(rules)
    assert not texts & {record.text.casefold() for record in part("dev")}
    for record in rules:
        (level,) = record.levels
        (rule,) = record.rules
        assert level > Severity.CASUAL
        assert 4 <= len(rule.split()) <= 18
