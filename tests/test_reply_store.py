"""What the store, archives and exports keep of judged and withdrawn replies."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from oa_chat.conversation import Conversation, StopReason, Turn, WithdrawnReply
from oa_chat.errors import StoreError, UsageError
from oa_chat.exports.html_page import html_page
from oa_chat.exports.json_file import json_file
from oa_chat.exports.markdown import markdown
from oa_chat.history import History
from oa_chat.imports import read_conversations
from oa_chat.policy import Action
from oa_chat.schema import MIGRATIONS, SCHEMA_VERSION
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict, unreadable

RULE = "It is kind to say sorry."
NUDGE = Verdict(Severity.POSSIBLY, "g")
CLEAN = Verdict(Severity.CASUAL, "g", subject="reply", latency_ms=3.0)
FLAG = Verdict(Severity.CAUTION, "g", rule=RULE, rule_source="rulebook", subject="reply")
NONE = unreadable("g", "it died", subject="reply")
TAKEN = WithdrawnReply("Hit <b>him</b> back.", (CLEAN, FLAG), "hi", unshown=12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sqlite3"


def stored(path: Path, ended: Callable[[Turn], Turn]) -> Turn:
    """A turn as it comes back from the disk, with one withdrawn reply."""
    store = Store(path)
    turn = store.add_turn(store.new_conversation().id, "hi")
    store.add_verdict(turn.id, NUDGE)
    store.append_reply(turn.id, TAKEN.text)
    store.withdraw_reply(turn.id, TAKEN)
    turn = replace(turn, verdicts=(NUDGE,), withdrawn=(TAKEN,))
    store.finish_turn(ended(turn))
    store.close()
    return Store(path).conversation(1).turns[0]


def complete(turn: Turn) -> Turn:
    return replace(
        turn,
        sent="hi",
        reply="Say sorry.",
        action=Action.PASS,
        verdicts=(*turn.verdicts, FLAG, CLEAN),
        stop_reason=StopReason.COMPLETE,
    )


def flagged(turn: Turn) -> Turn:
    return replace(turn, sent="hi", stop_reason=StopReason.FLAGGED)


def version_2_file(path: Path) -> None:
    """A file as version 2 of the store wrote it."""
    with sqlite3.connect(path) as old:
        for statement in (*MIGRATIONS[0], *MIGRATIONS[1]):
            old.execute(statement)
        old.execute("PRAGMA user_version = 2")
        old.execute("INSERT INTO conversation (created, updated) VALUES ('2025', '2025')")
        old.execute(
            "INSERT INTO turn (conversation_id, user, reply, stop_reason, created, model)"
            " VALUES (1, 'a question', 'an answer', 'complete', '2025', 'm')"
        )
    old.close()


def test_verdicts_and_withdrawn_replies_come_back(path: Path) -> None:
    back = stored(path, complete)
    assert back.verdicts == (NUDGE, FLAG, CLEAN)
    assert back.withdrawn == (TAKEN,)
    assert back.reply == "Say sorry."


def test_a_withdrawn_reply_is_not_the_reply_after_a_crash(path: Path) -> None:
    """Killed right behind the withdrawal: what was streamed before is kept aside only."""
    store = Store(path)
    turn = store.add_turn(store.new_conversation().id, "hi")
    store.append_reply(turn.id, "cruel words")
    store.withdraw_reply(turn.id, TAKEN)
    store.append_reply(turn.id, "kind words")
    (back,) = Store(path).conversation(1).turns
    assert (back.reply, back.withdrawn) == ("kind words", (TAKEN,))
    assert History(store).search("cruel") == []


def test_finishing_a_turn_twice_keeps_its_verdicts_once(path: Path) -> None:
    back = stored(path, complete)
    store = Store(path)
    store.finish_turn(back)
    assert store.conversation(1).turns[0].verdicts == back.verdicts


def test_a_version_2_file_is_brought_up_to_date(path: Path) -> None:
    version_2_file(path)
    store = Store(path)
    assert store.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    (turn,) = store.conversation(1).turns
    assert (turn.reply, turn.model, turn.withdrawn) == ("an answer", "m", ())
    store.withdraw_reply(turn.id, TAKEN)
    assert store.conversation(1).turns[0].withdrawn == (TAKEN,)


def test_a_migration_to_3_that_fails_leaves_version_2(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_2_file(path)
    broken = (*MIGRATIONS[:2], (*MIGRATIONS[2], "INSERT INTO nowhere VALUES (1)"))
    monkeypatch.setattr("oa_chat.database.MIGRATIONS", broken)
    with pytest.raises(StoreError, match="nowhere"):
        Store(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (2,)
    monkeypatch.undo()
    assert Store(path).conversation(1).turns[0].reply == "an answer"


def test_deleting_for_good_takes_withdrawn_replies_along(path: Path) -> None:
    stored(path, complete)
    store = Store(path)
    History(store).delete_for_good(1)
    assert store.rows("SELECT count(*) FROM withdrawn") == [(0,)]
    store.close()
    assert b"Hit <b>him" not in path.read_bytes()


@pytest.mark.parametrize("ended", [complete, flagged])
def test_the_archive_brings_everything_back(
    path: Path, tmp_path: Path, ended: Callable[[Turn], Turn]
) -> None:
    stored(path, ended)
    before = Store(path).conversation(1)
    export = tmp_path / "export.json"
    export.write_text(json_file(before))
    (read,) = read_conversations(export)
    other = Store(tmp_path / "other.sqlite3")
    (after,) = other.conversation(History(other).add(read)).turns
    assert replace(after, id=before.turns[0].id) == before.turns[0]


def test_an_archive_with_odd_verdicts_on_a_withdrawn_reply_is_refused(tmp_path: Path) -> None:
    odd = replace(TAKEN, verdicts=(replace(FLAG, probabilities=(0.5, 0.5)),))
    turn = Turn(1, "hi", withdrawn=(odd,))
    export = tmp_path / "export.json"
    export.write_text(json_file(Conversation(1, "", "", (turn,))))
    with pytest.raises(UsageError, match=re.escape("withdrawn[0].verdicts[0].probabilities")):
        read_conversations(export)


class _Text(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said, self.tags = "", set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said += data


def test_exports_show_both_sides_and_what_was_withdrawn(path: Path) -> None:
    stored(path, complete)
    conversation = Store(path).conversation(1)
    page = _Text(html_page(conversation))
    assert "b" not in page.tags
    for text in (page.said, markdown(conversation).replace("\\", "")):
        assert "Hit <b>him</b> back." in text
        assert "Withdrawn reply" in text
        assert f"Rule: {RULE}" in text
        assert text.index("Hit <b>him") < text.index("Say sorry.")
        assert "The reply: ● needs caution" in text


def test_a_flagged_end_is_told_in_exports(path: Path) -> None:
    stored(path, flagged)
    assert "the guard flagged the reply twice" in markdown(Store(path).conversation(1))


@pytest.mark.parametrize(
    ("verdicts", "reason", "expected"),
    [
        ((), StopReason.COMPLETE, None),
        ((NUDGE,), StopReason.COMPLETE, None),
        ((CLEAN, FLAG, CLEAN), StopReason.COMPLETE, FLAG),
        ((CLEAN, NONE), StopReason.COMPLETE, NONE),
        ((NONE, CLEAN), StopReason.COMPLETE, CLEAN),
        ((NONE, CLEAN), StopReason.STOPPED, NONE),
        ((NONE, FLAG, CLEAN), StopReason.LENGTH, FLAG),
    ],
)
def test_the_worst_part_counts(
    verdicts: tuple[Verdict, ...], reason: StopReason, expected: Verdict | None
) -> None:
    turn = Turn(1, "hi", verdicts=verdicts, stop_reason=reason)
    assert turn.reply_verdict == expected
