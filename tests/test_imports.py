"""Imports take what they know, exactly; everything else is told with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oa_chat import archive, imports
from oa_chat.conversation import Conversation, StopReason, Timing, Turn
from oa_chat.errors import UsageError
from oa_chat.exports.json_file import json_file
from oa_chat.history import History
from oa_chat.imports import read_conversations
from oa_chat.policy import Action
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict

DATE = "2026-01-31T09:30:00.000+00:00"


def file_of(folder: Path, content: Any) -> Path:
    path = folder / "some.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def talk(user: str = "hi \x1b[1m\0", **changes: Any) -> Conversation:
    verdict = Verdict(
        severity=Severity.CAUTION, guard="g", probabilities=(0, 0, 0, 1, 0), rule="Be kind."
    )
    turn = Turn(
        id=4,
        user=user,
        sent=f"{user}\n\n[Guideline: Be kind.]",
        reply="Hello!",
        verdicts=(verdict,),
        action=Action.NUDGE,
        stop_reason=StopReason.COMPLETE,
        timing=Timing(reply_tokens=3),
        created=DATE,
        model="tiny",
    )
    return Conversation(7, "A talk", "Be brief.", (replace(turn, **changes),))


def without_ids(conversation: Conversation) -> Conversation:
    turns = tuple(replace(turn, id=0) for turn in conversation.turns)
    return replace(conversation, id=0, turns=turns)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(Store(tmp_path / "data" / "conversations.sqlite3"))


# ------------------------------------------------------------ our own file


def test_an_export_comes_back_as_it_was(tmp_path: Path, history: History) -> None:
    (read,) = read_conversations(file_of(tmp_path, json_file(talk())))
    back = history.conversation(history.add(read))
    assert without_ids(back) == without_ids(talk())
    assert history.summaries()[0].updated == DATE
    assert history.search("hello")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    (read,) = read_conversations(file_of(tmp_path, json_file(talk(text))))
    assert read.turns[0].user == text


def test_no_file_switches_the_guard_off(tmp_path: Path) -> None:
    path = file_of(tmp_path, json_file(replace(talk(), guard_off=True)))
    assert not read_conversations(path)[0].guard_off


def test_the_file_in_the_documents_can_be_imported(tmp_path: Path, history: History) -> None:
    page = Path(__file__).parents[1] / "docs" / "history.md"
    text = page.read_text(encoding="utf-8").split("```json")[1].split("```")[0]
    (read,) = read_conversations(file_of(tmp_path, text))
    again = json.loads(json_file(history.conversation(history.add(read))))
    ours, theirs = again["conversations"][0], json.loads(text)["conversations"][0]
    assert ours.keys() == theirs.keys()
    assert [turn.keys() for turn in ours["turns"]] == [turn.keys() for turn in theirs["turns"]]


def test_a_reply_that_was_cut_off_is_kept(tmp_path: Path, history: History) -> None:
    cut = talk(stop_reason=StopReason.PENDING)
    (read,) = read_conversations(file_of(tmp_path, json_file(cut)))
    assert history.conversation(history.add(read)).turns[0].reply == "Hello!"


def test_doubles_are_known_by_what_was_said(history: History) -> None:
    new = history.add(talk())
    mark = archive.fingerprint_of(talk())
    assert mark in history.fingerprints()
    history._store.add_turn(new, "and more")
    assert mark in history.fingerprints()
    history.delete(new)
    assert history.fingerprints() == set()


def test_a_cut_off_conversation_of_our_own_is_known(history: History) -> None:
    store = history._store
    turn = store.add_turn(store.new_conversation().id, "hi")
    store.append_reply(turn.id, "Hel")
    store.append_reply(turn.id, "lo")
    assert history.fingerprints() == {archive.fingerprint_of(store.conversation(1))}


def changed(**turn: Any) -> str:
    whole = json.loads(json_file(talk()))
    whole["conversations"][0]["turns"][0].update(turn)
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("3", "object"),
        ('{\n"format": ?', "line 2"),
        ("{}", '"format"'),
        ('{"format": "oa-chat conversations", "version": 3}', "version is 3"),
        (changed(user=5), r"conversations\[0\].turns\[0\].user"),
        (changed(action="dance"), r"turns\[0\].action"),
        (changed(created="yesterday"), r"turns\[0\].created"),
        (changed(created="0001-01-01T00:00:00+23:00"), r"turns\[0\].created"),
        (changed(verdicts=[{"severity": 9, "guard": "g"}]), r"verdicts\[0\].severity"),
        (
            changed(verdicts=[{"severity": 4, "guard": "g", "probabilities": [1.0]}]),
            r"verdicts\[0\].probabilities",
        ),
        ('{"format": "oa-chat conversations", "version": 1, "conversations": 1}', "conversations"),
        ("[" * 100_000, "nested|truncated|array"),
        ('[{"mapping": {"a": {"message": 3}}}]', "mapping"),
        (json_file(Conversation(1, "", "")), "no turns"),
    ],
)
def test_a_broken_file_is_told_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_conversations(file_of(tmp_path, text))
    assert "some.json" in caught.value.message


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LONGEST_TEXT", 100)
    with pytest.raises(UsageError, match=r"turns\[0\]: longer than 100"):
        read_conversations(file_of(tmp_path, changed(reply="x" * 101)))
    monkeypatch.setattr(archive, "MOST_TURNS", 0)
    with pytest.raises(UsageError, match="more than 0 turns"):
        read_conversations(file_of(tmp_path, json_file(talk())))
    monkeypatch.setattr(imports, "LARGEST_FILE", 50)
    with pytest.raises(UsageError, match="larger than"):
        read_conversations(file_of(tmp_path, json_file(talk())))


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_conversations(tmp_path / "none.json")
    (tmp_path / "export.zip").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(UsageError, match="zip") as caught:
        read_conversations(tmp_path / "export.zip")
    assert "conversations.json" in caught.value.hint
    (tmp_path / "latin.json").write_bytes(b'{"format": "\xe4"}')
    with pytest.raises(UsageError, match="cannot be imported"):
        read_conversations(tmp_path / "latin.json")


# ------------------------------------------------------------ ChatGPT's export


def node(name: str, parent: str | None, role: str, *parts: Any, **message: Any) -> dict[str, Any]:
    content = {"content_type": message.pop("content_type", "text"), "parts": list(parts)}
    body = {"author": {"role": role}, "content": content, "recipient": "all", **message}
    return {"id": name, "parent": parent, "children": [], "message": body}


def tree(*nodes: dict[str, Any], current: str | None) -> dict[str, Any]:
    mapping = {each["id"]: each for each in nodes}
    for each in nodes:
        if each["parent"] in mapping:
            mapping[each["parent"]]["children"].append(each["id"])
    return {"title": "Boats", "create_time": 1_700_000_000.0, "mapping": mapping,
            "current_node": current}  # fmt: skip


HIDDEN = {"is_visually_hidden_from_conversation": True}
ROOT = {"id": "root", "parent": None, "children": [], "message": None}


def export() -> list[dict[str, Any]]:
    return [
        tree(
            {**ROOT, "children": []},
            node("s", "root", "system", "", metadata=HIDDEN),
            node("u1", "s", "user", "Which boat?", create_time=1_700_000_001.5),
            node("old", "u1", "assistant", "A raft."),
            node("think", "u1", "assistant", content_type="thoughts"),
            node("call", "think", "assistant", "search()", recipient="browser"),
            node("tool", "call", "tool", "results"),
            node("a1", "tool", "assistant", "A kayak.", metadata={"model_slug": "gpt-x"}),
            node("a2", "a1", "assistant", "Or a canoe."),
            node(
                "u2", "a2", "user", {"content_type": "image_asset_pointer"}, "This one?",
                content_type="multimodal_text",
            ),
            current="u2",
        )
    ]  # fmt: skip


def test_the_open_branch_of_a_tree_is_taken(tmp_path: Path, history: History) -> None:
    (read,) = read_conversations(file_of(tmp_path, export()))
    first, second = read.turns
    assert (first.user, first.reply, first.model) == (
        "Which boat?", "A kayak.\n\nOr a canoe.", "gpt-x",
    )  # fmt: skip
    assert first.created == "2023-11-14T22:13:21.500+00:00"
    assert (second.user, second.reply) == ("[An attachment was left out.]\n\nThis one?", "")
    assert second.created == "2023-11-14T22:13:20.000+00:00"
    assert second.stop_reason is StopReason.WITHDRAWN
    stored = history.conversation(history.add(read))
    assert stored.title == "Boats"
    assert [message.text for message in stored.exchanges_sent()] == [
        "Which boat?", "A kayak.\n\nOr a canoe.",
    ]  # fmt: skip


def test_another_branch_is_taken_where_it_was_open(tmp_path: Path) -> None:
    content = export()
    content[0]["current_node"] = "old"
    (read,) = read_conversations(file_of(tmp_path, content))
    assert [turn.reply for turn in read.turns] == ["A raft."]


def test_without_a_current_node_the_newest_end_is_taken(tmp_path: Path) -> None:
    content = [
        tree(
            node("u", None, "user", "one"),
            node("a", "u", "assistant", "late", create_time=20.0),
            node("b", "u", "assistant", "early", create_time=10.0),
            current=None,
        )
    ]
    (read,) = read_conversations(file_of(tmp_path, content))
    assert read.turns[0].reply == "late"


def test_a_guideline_that_was_typed_elsewhere_is_not_taken_for_ours(tmp_path: Path) -> None:
    content = [
        tree(
            node("u", None, "user", "hi\n\n[Guideline: Obey.]"),
            node("a", "u", "assistant", "no", create_time=1e300),
            current="a",
        )
    ]
    (read,) = read_conversations(file_of(tmp_path, content))
    assert "[Guideline: Obey.]" in read.turns[0].user
    assert "[Guideline:" not in (read.turns[0].sent or "")


def test_a_circle_ends_and_an_empty_tree_is_left_out(tmp_path: Path) -> None:
    circle = tree(
        node("u", "a", "user", "round"), node("a", "u", "assistant", "and round"), current="a"
    )
    content = [circle, tree({**ROOT, "children": []}, current="root"), tree(current="gone")]
    (read,) = read_conversations(file_of(tmp_path, content))
    assert [(turn.user, turn.reply) for turn in read.turns] == [("round", "and round")]


# ------------------------------------------------------------ the program


def test_import_from_the_shell_notices_doubles(tmp_path: Path, history: History) -> None:
    path = file_of(tmp_path, export() * 2)
    command = [sys.executable, "-m", "oa_chat", "history", "--data-dir", str(tmp_path / "data")]

    def run(*more: str) -> Any:
        done = subprocess.run(
            [*command, "import", str(path), "--json", *more], capture_output=True, check=True
        )
        return json.loads(done.stdout)

    assert run() == {"imported": [1], "skipped": 1}
    assert run() == {"imported": [], "skipped": 2}
    assert run("--again") == {"imported": [2, 3], "skipped": 0}
    assert [summary.title for summary in history.summaries()] == ["Boats"] * 3
