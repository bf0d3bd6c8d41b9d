"""What is stored can be listed, found, deleted, had back, and really be gone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oa_chat.conversation import StopReason, Turn
from oa_chat.errors import StoreError
from oa_chat.history import History, Hit
from oa_chat.schema import MIGRATIONS, SCHEMA_VERSION
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict, unreadable

PROGRAM = [sys.executable, "-m", "oa_chat", "history"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data" / "conversations.sqlite3")


@pytest.fixture
def history(store: Store) -> History:
    return History(store)


def said(store: Store, *exchanges: tuple[str, str]) -> int:
    """A new conversation with these exchanges; its id."""
    conversation = store.new_conversation()
    for user, reply in exchanges:
        turn = store.add_turn(conversation.id, user, "tiny")
        store.finish_turn(Turn(id=turn.id, user=user, reply=reply, stop_reason=StopReason.COMPLETE))
    return conversation.id


def run(store: Store, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, arguments[0], "--data-dir", str(store.path.parent), *arguments[1:]]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def found(hit: Hit) -> str:
    return "|".join(piece.text for piece in hit.snippet if piece.found)


# ------------------------------------------------------------ versions


def version_1_file(path: Path) -> None:
    """A file as version 1 of the store wrote it."""
    with sqlite3.connect(path) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
        old.execute(
            "INSERT INTO conversation (title, created, updated) VALUES ('old', '2025', '2025')"
        )
        old.execute(
            "INSERT INTO turn (conversation_id, user, reply, stop_reason, created)"
            " VALUES (1, 'an old question', 'an old answer', 'complete', '2025')"
        )
    old.close()


def test_a_version_1_file_is_brought_up_to_date(tmp_path: Path) -> None:
    version_1_file(tmp_path / "c.sqlite3")
    store = Store(tmp_path / "c.sqlite3")
    history = History(store)
    assert store.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert store.conversation(1).turns[0].reply == "an old answer"
    assert [hit.role for hit in history.search("old")] == ["user", "assistant"]
    store.close()
    assert Store(tmp_path / "c.sqlite3").conversation(1).title == "old"


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite3"
    version_1_file(path)
    broken = (MIGRATIONS[0], (*MIGRATIONS[1], "INSERT INTO nowhere VALUES (1)"))
    monkeypatch.setattr("oa_chat.database.MIGRATIONS", broken)
    with pytest.raises(StoreError, match="nowhere"):
        Store(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
        assert (
            raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'said'").fetchone()[0] == 0
        )
    monkeypatch.undo()
    assert History(Store(path)).search("old")


# ------------------------------------------------------------ list and find


def test_the_list_has_titles_counts_and_flags(store: Store, history: History) -> None:
    said(store, ("first\nlines", "one"), ("second", ""))
    flagged = said(store, ("hm", "well"), ("ho", "so"))
    one, two = store.conversation(flagged).turns
    store.add_verdict(one.id, Verdict(severity=Severity.INTERVENTION, guard="g"))
    store.add_verdict(one.id, Verdict(severity=Severity.CAUTION, guard="g"))
    store.add_verdict(two.id, unreadable("g", "it died"))
    store.new_conversation()
    newer, older = history.summaries()
    assert (newer.id, newer.messages, newer.flags, newer.worst) == (
        flagged, 4, 2, Severity.CAUTION,
    )  # fmt: skip
    assert (older.title, older.messages, older.flags, older.worst) == ("first lines", 3, 0, None)
    assert history.summaries(1) == [newer]


def test_a_title_is_made_where_there_is_none(store: Store, history: History) -> None:
    number = said(store, ("tell me", "yes"))
    store.change("UPDATE conversation SET title = ''")
    assert history.summaries()[0].title == "tell me"
    store.change("UPDATE turn SET user = ''")
    assert history.summaries()[0].title == "(no words)"
    assert history.find(str(number)) == number


@pytest.mark.parametrize("name", ["7", "0", "-1", "one", "1; DROP TABLE turn", "٣", "9" * 30, ""])
def test_what_is_no_id_is_told(store: Store, history: History, name: str) -> None:
    said(store, ("hi", "ho"))
    with pytest.raises(StoreError, match="no conversation") as caught:
        history.find(name)
    assert "history list" in caught.value.hint


def test_last_is_the_newest(store: Store, history: History) -> None:
    with pytest.raises(StoreError, match="no conversation yet"):
        history.find("last")
    said(store, ("one", ""))
    newest = said(store, ("two", ""))
    assert history.find("last") == newest


# ------------------------------------------------------------ search


def test_search_finds_both_sides_newest_first(store: Store, history: History) -> None:
    first = said(store, ("Where is the Café?", "By the river."), ("Thanks", "The cafe is shut"))
    second = said(store, ("cafés are nice", "they are"))
    hits = history.search("CAFE")
    places = [(hit.conversation_id, hit.number, hit.role, found(hit)) for hit in hits]
    assert places == [
        (second, 1, "user", "cafés"),
        (first, 2, "assistant", "cafe"),
        (first, 1, "user", "Café"),
    ]
    assert hits[0].title == "cafés are nice"
    assert [hit.conversation_id for hit in history.search("cafe", 1)] == [second]


def test_all_words_count_and_the_last_is_a_beginning(store: Store, history: History) -> None:
    said(store, ("the green boat", ""), ("the red boat", ""), ("green grass", ""))
    assert [found(hit) for hit in history.search("green boa")] == ["green|boat"]
    assert history.search("gree boat") == []


def test_what_changes_and_goes_is_found_no_more(store: Store, history: History) -> None:
    number = said(store, ("a sparrow", "a blackbird"))
    turn = store.conversation(number).turns[0]
    store.finish_turn(Turn(id=turn.id, user="a sparrow", reply="a robin"))
    assert history.search("blackbird") == []
    assert len(history.search("robin")) == 1
    store.change("DELETE FROM conversation")
    assert history.search("sparrow") == []
    store.change("INSERT INTO said (said, rank) VALUES ('integrity-check', 1)")


def test_marks_in_a_text_are_no_highlights(store: Store, history: History) -> None:
    said(store, ("\x02 plain \x03 needle \x1b[1m", ""))
    (hit,) = history.search("needle")
    assert found(hit) == "needle"
    assert "".join(piece.text for piece in hit.snippet) == "\x02 plain \x03 needle \x1b[1m"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text() | st.text(alphabet='"*:^(){}+-,.NEAR AND OR NOT\0\ud800 user'))
def test_no_search_text_is_an_error(store: Store, history: History, text: str) -> None:
    if not store.rows("SELECT 1 FROM turn"):
        said(store, ("user: NEAR AND OR NOT", "* ^ -"))
    for hit in history.search(text):
        assert hit.conversation_id == 1


@pytest.mark.parametrize("text", ['user:near"', "near !!!", "NOT near", "(near OR", "near*", "AND"])
def test_the_search_language_is_only_text(store: Store, history: History, text: str) -> None:
    said(store, ("not near and far", "user near or there"))
    assert history.search(text)


# ------------------------------------------------------------ delete and restore


def test_a_deleted_conversation_is_out_of_sight_and_comes_back(
    store: Store, history: History
) -> None:
    kept, gone = said(store, ("keep me", "")), said(store, ("lose me", ""))
    history.delete(gone)
    assert [summary.id for summary in history.summaries()] == [kept]
    assert [summary.id for summary in history.summaries(deleted=True)] == [gone]
    assert history.search("lose") == []
    assert store.typed_messages(5) == ["keep me"]
    last = store.last_conversation()
    assert last is not None
    assert last.id == kept
    with pytest.raises(StoreError, match="is deleted") as caught:
        history.find(str(gone))
    assert f"restore {gone}" in caught.value.hint
    history.restore(history.find(str(gone), deleted=True))
    assert len(history.search("lose")) == 1


def test_going_on_with_a_deleted_conversation_brings_it_back(
    store: Store, history: History
) -> None:
    number = said(store, ("hi", "ho"))
    history.delete(number)
    store.add_turn(number, "still here")
    assert history.find("last") == number


def test_after_thirty_days_it_is_gone(store: Store, history: History) -> None:
    early, late = said(store, ("long ago", "")), said(store, ("lately", ""))
    for number, days in ((early, 31), (late, 29)):
        date = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        store.change("UPDATE conversation SET deleted = ? WHERE id = ?", date, number)
    again = Store(store.path)
    assert [row[0] for row in again.rows("SELECT id FROM conversation")] == [late]
    assert again.rows("SELECT count(*) FROM turn") == [(1,)]
    again.change("INSERT INTO said (said, rank) VALUES ('integrity-check', 1)")


def bytes_of(store: Store) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(store.path.parent.iterdir()))


def test_for_good_leaves_no_byte(store: Store, history: History) -> None:
    said(store, ("harmless words here", "and there"))
    secret = said(store, ("xylophonistic secrets", "zwieback forever " * 300))
    turn = store.conversation(secret).turns[0]
    store.add_verdict(turn.id, Verdict(severity=Severity.CAUTION, guard="g", rule="quixotry is it"))
    history.delete(secret)
    assert b"xylophonistic" in bytes_of(store)
    history.delete_for_good(secret)
    left = bytes_of(store)
    for word in (b"xylophonistic", b"lophonist", b"zwieback", b"wieback", b"quixotry"):
        assert word not in left
    assert b"harmless words" in left
    assert len(history.search("harmless")) == 1


def test_a_chat_writes_while_the_shell_reads_and_deletes(store: Store, history: History) -> None:
    """Another process writes turns all the time; neither side sees a lock."""
    said(store, ("doomed", ""))
    code = (
        "import sys, time; from pathlib import Path; from oa_chat.store import Store\n"
        "store = Store(Path(sys.argv[1])); c = store.new_conversation(); print('up', flush=True)\n"
        "for n in range(150):\n"
        "    turn = store.add_turn(c.id, f'message {n}')\n"
        "    store.append_reply(turn.id, 'piece')\n"
        "    store.finish_turn(turn); time.sleep(0.003)\n"
    )
    command = [sys.executable, "-c", code, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        rounds = 0
        while writer.poll() is None:
            number = said(store, ("from the shell", "yes"))
            history.summaries()
            history.search("message")
            history.delete(number)
            if rounds % 20 == 0:
                history.delete_for_good(number)
            rounds += 1
            time.sleep(0.003)
        assert writer.stderr is not None
        assert (writer.returncode, writer.stderr.read()) == (0, b"")
    assert rounds > 1
    assert len(history.search("message", 1000)) == 150
    store.change("INSERT INTO said (said, rank) VALUES ('integrity-check', 1)")


# ------------------------------------------------------------ the program


def test_list_show_and_search_from_the_shell(store: Store) -> None:
    number = said(store, ("what is \x1b[31mred", "a colour"))
    turn = store.conversation(number).turns[0]
    rule = Verdict(severity=Severity.POSSIBLY, guard="g", rule="Be kind.", rule_source="rulebook")
    store.add_verdict(turn.id, rule)
    listed = run(store, "list")
    assert listed.returncode == 0
    for part in ("2 messages", "◔ 1 flag, possibly needs caution", "what is ␛[31mred"):
        assert part in listed.stdout
    fields = json.loads(run(store, "list", "--json", "--limit", "1").stdout)
    assert (fields["id"], fields["worst"]) == (number, "__possibly_needs_caution__")
    shown = run(store, "show", "last").stdout
    assert "Flag: ◔ possibly needs caution\nRule: Be kind. (from the rulebook)" in shown
    assert "\x1b" not in shown
    exact = json.loads(run(store, "show", str(number), "--json").stdout)
    assert exact["turns"][0]["user"] == "what is \x1b[31mred"
    hit = json.loads(run(store, "search", "--json", "a", "COL").stdout)
    (start, end), *_ = hit["found"][1:]
    assert (hit["turn"], hit["role"], hit["snippet"][start:end]) == (1, "assistant", "colour")
    assert "«colour»" in run(store, "search", "colour").stdout


def test_nothing_there_is_said_and_no_error(store: Store) -> None:
    assert "no conversations" in run(store, "list").stderr
    nothing = run(store, "search", "anything")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert run(store, "show", "last").returncode == StoreError.exit_code


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 1), (b"y\n", 0)])
def test_on_a_terminal_it_asks(store: Store, history: History, answer: bytes, left: int) -> None:
    said(store, ("hello\x1b]0;title\x07", ""))
    main, end = os.openpty()
    command = [*PROGRAM, "delete", "last", "--data-dir", str(store.path.parent)]
    with subprocess.Popen(command, stdin=end, stderr=end, stdout=subprocess.PIPE) as program:
        os.write(main, answer)
        program.wait(60)
    shown = os.read(main, 10_000)
    os.close(end)
    os.close(main)
    assert b"Delete conversation 1, hello" in shown
    assert b"\x1b]0" not in shown
    assert len(history.summaries()) == left


def test_a_damaged_conversation_can_be_deleted(store: Store) -> None:
    number = said(store, ("hello", ""))
    store.change("UPDATE turn SET timing = '{'")
    assert run(store, "show", str(number)).returncode == StoreError.exit_code
    assert run(store, "delete", str(number), "--yes", "--for-good").returncode == 0
    assert store.rows("SELECT count(*) FROM turn") == [(0,)]


def test_delete_asks_and_can_be_undone(store: Store) -> None:
    number = str(said(store, ("hello", "")))
    refused = run(store, "delete", number)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert "restore" in run(store, "delete", number, "--yes").stderr
    assert run(store, "restore", number).returncode == 0
    assert run(store, "restore", number).returncode == StoreError.exit_code
    run(store, "delete", number, "--yes")
    assert "for good" in run(store, "delete", number, "--yes", "--for-good").stderr
    assert store.rows("SELECT count(*) FROM conversation") == [(0,)]
