"""What a person says about flags: kept, shown, taken back, handed on; and nothing else changes."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oa_chat.conversation import StopReason, Turn
from oa_chat.corrections import LONGEST_NOTE, Corrections, level_named
from oa_chat.errors import StoreError, UsageError
from oa_chat.history import History
from oa_chat.schema import MIGRATIONS, SCHEMA_VERSION
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict

PROGRAM = [sys.executable, "-m", "oa_chat", "feedback"]
FLAG = Verdict(Severity.CAUTION, "tiny guard", (0.1, 0.1, 0.1, 0.6, 0.1), rule="Be kind.")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data" / "conversations.sqlite3")


def talk(store: Store, *texts: str) -> list[Turn]:
    """A conversation in which every message was flagged, sent and answered."""
    conversation = store.new_conversation()
    turns = []
    for text in texts:
        turn = store.add_turn(conversation.id, text)
        store.add_verdict(turn.id, FLAG)
        ended = Turn(turn.id, text, sent=text, reply="I see.", stop_reason=StopReason.COMPLETE)
        store.finish_turn(ended)
        turns.append(ended)
    return turns


def run(store: Store, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, arguments[0], "--data-dir", str(store.path.parent), *arguments[1:]]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    return done


# ------------------------------------------------------------------------------------ the store


def test_a_correction_keeps_what_the_guard_had_said(store: Store) -> None:
    _, turn = talk(store, "hello", "I could kill for a pizza")
    number = Corrections(store).add(turn.id, Severity.CASUAL, "  a figure of speech ")
    (kept,) = Corrections(Store(store.path)).all()
    assert (kept.id, kept.severity, kept.note) == (number, Severity.CASUAL, "a figure of speech")
    assert (kept.text, kept.place, kept.verdict) == ("I could kill for a pizza", "1:2", FLAG)


def test_the_newest_word_about_a_message_counts(store: Store) -> None:
    (turn,) = talk(store, "hello")
    corrections = Corrections(store)
    corrections.add(turn.id, Severity.CASUAL)
    corrections.add(turn.id, Severity.INTERVENTION)
    assert [one.severity for one in corrections.all()] == [Severity.INTERVENTION]
    corrections.take_back(turn.id)
    corrections.take_back(turn.id)
    assert corrections.of_conversation(1) == {}


def test_it_changes_no_verdict(store: Store) -> None:
    (turn,) = talk(store, "hello")
    before = store.conversation(1)
    Corrections(store).add(turn.id, Severity.CASUAL)
    assert store.conversation(1) == before
    assert History(store).summaries()[0].worst is Severity.CAUTION


def test_it_is_hidden_and_goes_with_its_conversation(store: Store) -> None:
    (turn,) = talk(store, "hello")
    talk(store, "another one")
    corrections, history = Corrections(store), History(store)
    corrections.add(turn.id, Severity.CASUAL, "xylophone")
    history.delete(1)
    assert corrections.all() == list(corrections.records()) == []
    history.restore(1)
    assert len(corrections.all()) == 1
    history.delete_for_good(1)
    assert corrections.all() == []
    assert b"xylophone" not in store.path.read_bytes()


def test_a_store_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    raw = sqlite3.connect(path)
    for statements in MIGRATIONS[:3]:
        for statement in statements:
            raw.execute(statement)
    raw.execute("PRAGMA user_version = 3")
    raw.execute("INSERT INTO conversation (created, updated) VALUES ('x', 'x')")
    raw.execute(
        "INSERT INTO turn (conversation_id, user, stop_reason, created)"
        " VALUES (1, 'hi', 'failed', 'x')"
    )
    raw.commit()
    raw.close()
    store = Store(path)
    assert store.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    Corrections(store).add(1, Severity.POSSIBLY)
    assert Corrections(store).all()[0].verdict is None


def test_places_are_found_and_others_explained(store: Store) -> None:
    first, second = talk(store, "one", "two")
    corrections = Corrections(store)
    assert corrections.turn_at("1:1") == first.id
    assert corrections.turn_at("1:2") == corrections.turn_at("last") == second.id
    for place in ("", "1", "1:3", "2:1", "1:0", "x:1", "1:-1", "1:1 OR 1", "9" * 30 + ":1", "1:²"):
        with pytest.raises(UsageError):
            corrections.turn_at(place)
    History(store).delete(1)
    for place in ("1:1", "last"):
        with pytest.raises(UsageError):
            corrections.turn_at(place)


def test_what_cannot_be_kept_is_refused(store: Store) -> None:
    (turn,) = talk(store, "hello")
    corrections = Corrections(store)
    with pytest.raises(UsageError, match="note"):
        corrections.add(turn.id, Severity.CASUAL, "x" * (LONGEST_NOTE + 1))
    with pytest.raises(UsageError, match="text"):
        corrections.add_text("  ", Severity.CASUAL)
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        corrections.add(99, Severity.CASUAL)
    with pytest.raises(StoreError, match="no correction"):
        corrections.remove(10**30)
    assert corrections.all() == []


# ----------------------------------------------------------------------------------- the records


def test_a_record_has_the_message_its_context_and_where_it_is_from(store: Store) -> None:
    *_, turn = talk(store, *(f"message number {n}" for n in range(1, 6)))
    Corrections(store).add(turn.id, Severity.PROBABLY, "hm")
    (record,) = Corrections(store).records()
    assert record["text"] == "message number 5"
    assert record["labels"] == ["__probably_needs_caution__"]
    assert [turn["content"] for turn in record["context"]] == [
        *("message number 2", "I see."),
        *("message number 3", "I see."),
        *("message number 4", "I see."),
    ]
    assert [turn["role"] for turn in record["context"]] == ["user", "assistant"] * 3
    assert (record["source"], record["licence"]) == ("own-corrections", "own")
    assert (record["guard"], record["guard_label"]) == ("tiny guard", "__needs_caution__")
    assert record["thread"] == "own-corrections-conversation-1"
    assert record["lang"] == "und"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip),
    st.sampled_from(Severity),
    st.text(st.characters(codec="utf-8"), max_size=40),
)
def test_any_text_comes_back_exactly(
    store: Store, text: str, severity: Severity, note: str
) -> None:
    corrections = Corrections(store)
    number = corrections.add_text(text, severity, note, FLAG)
    kept = next(one for one in corrections.all() if one.id == number)
    record = next(one for one in corrections.records() if one["id"].endswith(f"-{number}"))
    corrections.remove(number)
    assert (kept.text, kept.severity, kept.note) == (text, severity, note.strip())
    assert json.loads(json.dumps(record)) == record
    assert (record["text"], record["labels"]) == (text, [severity.label])


# ---------------------------------------------------------------------------------- the commands


def test_the_commands_add_list_export_and_remove(store: Store, tmp_path: Path) -> None:
    talk(store, "I could kill for a pizza", "hello \x1b[31mthere")
    added = run(store, "add", "casual", "--message", "1:1", "--note", "a figure of speech")
    assert "● needs caution → you said: ○ casual (a figure of speech)" in added.stderr
    assert "No verdict changes by that." in added.stderr
    assert json.loads(run(store, "add", "4", "--json").stdout)["message"] == "1:2"
    run(store, "add", "__needs_caution__", "--text", "Ich hasse meine Nachbarn und will sie hauen")
    listed = run(store, "list").stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["1", "1:1"], ["2", "1:2"], ["3", "-"]]
    assert "\x1b" not in listed[1]
    assert [
        json.loads(line)["label"] for line in run(store, "list", "--json").stdout.splitlines()
    ] == [
        *("__casual__", "__needs_intervention__", "__needs_caution__"),
    ]
    out = tmp_path / "mine.jsonl"
    assert "3 records written" in run(store, "export", "--out", str(out)).stderr
    records: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["lang"] for record in records] == ["en", "und", "de"]
    assert run(store, "export").stdout == out.read_text(encoding="utf-8")
    assert "--force" in run(store, "export", "--out", str(out), code=2).stderr
    assert "taken back" in run(store, "remove", "2").stderr
    assert "no correction 2" in run(store, "remove", "2", code=7).stderr
    assert len(run(store, "list").stdout.splitlines()) == 2
    if os.name == "posix":
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_the_chat_in_lines_does_it_as_well(store: Store) -> None:
    lines = "/flag 1\nhello there\n/flag odd\n/flag needs caution\n/quit\n"
    command = [*PROGRAM[:-1], "--plain", "--data-dir", str(store.path.parent)]

    def chat(typed: str, *more: str) -> str:
        done = subprocess.run(
            [*command, *more], input=typed, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    told = chat(lines)
    assert "There is no message yet." in told
    assert "That is no level. The levels: casual, possibly-needs-caution" in told
    assert "Noted: you said needs caution. No verdict changes by that." in told
    (kept,) = Corrections(store).all()
    assert (kept.text, kept.severity) == ("hello there", Severity.CAUTION)
    assert kept.verdict is not None
    assert "Taken back." in chat("/flag back\n/quit\n", "--continue")
    assert Corrections(store).all() == []


@pytest.mark.parametrize("level", Severity)
def test_a_level_goes_by_name_label_and_number(level: Severity) -> None:
    words = level.words
    for word in (words, words.replace(" ", "-"), words.upper(), level.label, f" {int(level)} "):
        assert level_named(word) is level
    for word in ("", "5", "-1", "needs", f"{words}!", "٣"):
        assert level_named(word) is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "bad"), "The levels: casual, possibly-needs-caution"),
        (("add", "casual"), "There is no message yet"),
        (("add", "casual", "--message", "12"), "Write it like 12:3"),
        (("add", "casual", "--message", "1:1", "--text", "x"), "not both"),
        (("add", "casual", "--text", " "), "1 to 2,000,000 characters"),
    ],
)
def test_wrong_usage_is_explained(store: Store, arguments: tuple[str, ...], told: str) -> None:
    assert told in run(store, *arguments, code=2).stderr
    assert Corrections(store).all() == []
