"""What people said about flags in the chat is data for a training, as it is exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.records import read_records
from oa_chat.cli import run as cli
from oa_chat.conversation import StopReason, Turn
from oa_chat.corrections import Corrections
from oa_chat.store import Store
from oa_chat.verdict import Severity
from tests.converters.train.small import CLASSIFIER

WHO = ("sister", "brother", "mother", "father", "friend", "teacher")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Thirty corrections in a real store, by the real command."""
    folder = tmp_path / "chats"
    store = Store(folder / "conversations.sqlite3")
    corrections = Corrections(store)
    conversation = store.new_conversation()
    for number, who in enumerate(WHO):
        turn = store.add_turn(conversation.id, f"Turn {number}: I argued with my {who} again.")
        complete = StopReason.COMPLETE
        said = Turn(turn.id, turn.user, turn.user, "What happened?", stop_reason=complete)
        store.finish_turn(said)
        corrections.add(turn.id, Severity(number % 5), "my own words")
        for level in range(1, 5):
            corrections.add_text(f"Text {level} about my {who}.", Severity(level))
    store.close()
    out = tmp_path / "records.jsonl"
    assert cli(["feedback", "export", "--data-dir", str(folder), "--out", str(out)]) == 0
    return out


def test_the_reader_of_records_takes_all_of_it(exported: Path) -> None:
    records = list(read_records(exported))
    assert len(records) == 30
    assert {record.row.source for record in records} == {"own-corrections"}
    assert {record.row.licence for record in records} == {"own"}
    assert all(len(record.levels) == 1 for record in records)
    last = next(record for record in records if record.text.startswith("Turn 5"))
    assert [message.role for message in last.messages] == ["user", "assistant"] * 3 + ["user"]
    threads = {record.row.thread for record in records if record.row.context}
    assert threads == {"own-corrections-conversation-1"}
    assert len({record.row.id for record in records}) == 30


def test_a_training_takes_them(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(CLASSIFIER.replace("{data}/dev.jsonl", "{data}/records.jsonl"))
    out = tmp_path / "out"
    said = ["train", str(recipe), "--data", str(exported.parent), "--out", str(out), "--dry-run"]
    assert cli(said) == 0
    told = capsys.readouterr().out
    assert "records     30" in told
    assert "own-corrections" in told
    assert not out.exists()


def test_prepare_reads_them_as_a_source(exported: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "prepare.toml"
    source = '[[source]]\nkind = "pack"\npath = ["{data}/records.jsonl"]\n'
    recipe.write_text(f'name = "mine"\ntitle = "Mine"\ndescription = "Mine."\n{source}')
    out = tmp_path / "prepared"
    said = ["prepare", str(recipe), "--data", str(exported.parent), "--out", str(out)]
    assert cli(said) == 0
    kept = [record for file in out.rglob("*.parquet") for record in read_records(file)]
    assert {record.row.source for record in kept} == {"own-corrections"}
    assert len(kept) >= 25
