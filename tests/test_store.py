"""The store: what was typed survives everything."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.conversation import StopReason, Timing, Turn
from oa_chat.errors import StoreError
from oa_chat.policy import Action
from oa_chat.schema import SCHEMA_VERSION
from oa_chat.store import Store, title_of
from oa_chat.verdict import Severity, Verdict, unreadable


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data" / "conversations.sqlite3")


def reopened(store: Store) -> Store:
    store.close()
    return Store(store.path)


def finished(turn: Turn) -> Turn:
    return Turn(
        id=turn.id,
        user=turn.user,
        sent=turn.user + "\n\n[Guideline: Be kind.]",
        reply="Hello!",
        action=Action.NUDGE,
        stop_reason=StopReason.COMPLETE,
        timing=Timing(guard_ms=7.5, reply_tokens=3, decode_ms=2.0),
    )


def test_a_turn_comes_back_as_it_was(store: Store) -> None:
    conversation = store.new_conversation("Be brief.")
    turn = store.add_turn(conversation.id, "hi\n\tthere  ")
    seen = Verdict(
        severity=Severity.CAUTION,
        guard="test",
        probabilities=(0.1, 0.1, 0.1, 0.6, 0.1),
        rule="Be kind.",
        rule_source="rulebook",
        categories=("hate",),
        windows=2,
    )
    store.add_verdict(turn.id, unreadable("test", "it died"))
    store.add_verdict(turn.id, seen)
    store.finish_turn(finished(turn))
    again = reopened(store).conversation(conversation.id)
    assert again.system_prompt == "Be brief."
    assert again.title == "hi there"
    (back,) = again.turns
    assert back.user == "hi\n\tthere  "
    assert back.sent == "hi\n\tthere  \n\n[Guideline: Be kind.]"
    assert (back.reply, back.action, back.stop_reason) == (
        "Hello!",
        Action.NUDGE,
        StopReason.COMPLETE,
    )
    assert back.timing == Timing(guard_ms=7.5, reply_tokens=3, decode_ms=2.0)
    assert back.verdicts == (unreadable("test", "it died"), seen)
    assert back.verdict == seen


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "c.sqlite3")
    conversation = store.new_conversation()
    store.add_turn(conversation.id, text)
    assert reopened(store).conversation(conversation.id).turns[0].user == text


def test_a_cut_off_reply_keeps_its_pieces(store: Store) -> None:
    conversation = store.new_conversation()
    turn = store.add_turn(conversation.id, "hi")
    store.set_sent(turn.id, "hi", Action.PASS)
    store.append_reply(turn.id, "Hel")
    store.append_reply(turn.id, "lo")
    (back,) = reopened(store).conversation(conversation.id).turns
    assert (back.reply, back.sent, back.stop_reason) == ("Hello", "hi", StopReason.PENDING)


def test_pieces_are_gone_once_the_turn_is_finished(store: Store) -> None:
    conversation = store.new_conversation()
    turn = store.add_turn(conversation.id, "hi")
    store.append_reply(turn.id, "Hello!")
    store.finish_turn(finished(turn))
    count = sqlite3.connect(store.path).execute("SELECT count(*) FROM piece").fetchone()[0]
    assert count == 0
    assert store.conversation(conversation.id).turns[0].reply == "Hello!"


def test_the_last_conversation_is_the_one_used_last(store: Store) -> None:
    assert store.last_conversation() is None
    first = store.new_conversation()
    store.add_turn(first.id, "one")
    second = store.new_conversation()
    store.add_turn(second.id, "two")
    store.new_conversation()
    last = store.last_conversation()
    assert last is not None
    assert last.id == second.id
    assert store.typed_messages(10) == ["one", "two"]
    assert store.typed_messages(1) == ["two"]


def test_a_switched_off_guard_stays_off_for_that_conversation(store: Store) -> None:
    conversation = store.new_conversation()
    store.switch_guard(conversation.id, off=True)
    assert reopened(store).conversation(conversation.id).guard_off


def test_sql_in_a_message_is_text(store: Store) -> None:
    conversation = store.new_conversation()
    text = "'); DROP TABLE turn; --"
    store.add_turn(conversation.id, text)
    assert store.conversation(conversation.id).turns[0].user == text


def test_two_programs_share_a_store(store: Store) -> None:
    other = Store(store.path)
    one = store.new_conversation()
    two = other.new_conversation()
    store.add_turn(one.id, "from one")
    other.add_turn(two.id, "from two")
    assert store.typed_messages(5) == ["from one", "from two"]


def test_what_was_typed_survives_a_kill(tmp_path: Path) -> None:
    """The child saves a message and is killed at once, without closing anything."""
    path = tmp_path / "c.sqlite3"
    code = (
        "import os, signal, sys; from pathlib import Path; from oa_chat.store import Store\n"
        "store = Store(Path(sys.argv[1])); c = store.new_conversation()\n"
        "store.add_turn(c.id, 'do not lose me')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert Store(path).typed_messages(1) == ["do not lose me"]


def test_a_newer_store_is_refused_and_left_alone(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.path) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="newer version"):
        Store(store.path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    path.write_bytes(b"<html>" * 500)
    with pytest.raises(StoreError, match="not a database") as caught:
        Store(path)
    assert "--data-dir" in caught.value.hint
    assert path.read_bytes() == b"<html>" * 500


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made") as caught:
        Store(tmp_path / "file" / "c.sqlite3")
    assert "--data-dir" in caught.value.hint


def test_a_full_disk_is_told_and_loses_nothing_stored(store: Store) -> None:
    """SQLite's own page limit gives the very error of a full disk (SQLITE_FULL)."""
    conversation = store.new_conversation()
    store.add_turn(conversation.id, "before")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full") as caught:
        store.add_turn(conversation.id, "x" * 1_000_000)
    assert "free some space" in caught.value.hint
    assert [turn.user for turn in reopened(store).conversation(conversation.id).turns] == ["before"]


def test_a_real_full_device(tmp_path: Path) -> None:
    """A write that the kernel refuses, through the limit on file sizes."""
    path = tmp_path / "c.sqlite3"
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from oa_chat.store import Store; from oa_chat.errors import StoreError\n"
        "store = Store(Path(sys.argv[1])); c = store.new_conversation()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try: store.add_turn(c.id, 'x' * 1_000_000)\n"
        "except StoreError as error: print('told:', error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("told:")


def test_a_lone_surrogate_is_an_error_not_a_crash(store: Store) -> None:
    conversation = store.new_conversation()
    with pytest.raises(StoreError, match="surrogate"):
        store.add_turn(conversation.id, "half \ud83d")


def test_a_missing_conversation_is_told(store: Store) -> None:
    with pytest.raises(StoreError, match="no conversation 7"):
        store.conversation(7)


def test_titles_are_one_short_line() -> None:
    assert title_of("  hello\n\nworld ") == "hello world"
    assert len(title_of("word " * 100_000)) <= 60
    assert title_of("word " * 100).endswith("…")


def test_unreadable_contents_are_told(store: Store) -> None:
    conversation = store.new_conversation()
    turn = store.add_turn(conversation.id, "hi")
    store._db.execute("UPDATE turn SET action = 'dance' WHERE id = ?", (turn.id,))
    with pytest.raises(StoreError, match="unreadable"):
        store.conversation(conversation.id)
    store._db.execute("UPDATE turn SET action = NULL, timing = '{' WHERE id = ?", (turn.id,))
    with pytest.raises(StoreError, match="unreadable"):
        store.conversation(conversation.id)


def test_a_new_file_is_private_in_any_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "c.sqlite3")
    if os.name == "posix":
        assert store.path.stat().st_mode & 0o077 == 0


def test_files_are_private_to_the_user(store: Store) -> None:
    if os.name == "posix":
        assert store.path.parent.stat().st_mode & 0o077 == 0
