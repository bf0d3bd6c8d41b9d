"""The sources: what becomes of rows of each kind, and which files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from converters.errors import DataError, RecipeError
from converters.prepare.draft import Draft
from converters.prepare.inputs import check_columns, groups_of, looked_into
from converters.prepare.reading import Slice, form_of, rows_of, stem_of
from converters.prepare.sources import SOURCES
from converters.prepare.sources.base import BadRow, Made, Source
from tests.converters.prepare.small_data import post, write_lines


def _source(kind: str, **keys: Any) -> Source:
    return SOURCES[kind].make(SOURCES[kind].struct(**keys))


def _made(source: Source, path: Path) -> list[Made]:
    form = form_of(path.name)
    stop = groups_of(path) if form == ".parquet" else path.stat().st_size
    piece = Slice(str(path), form, 0, stop, 1, str(path))
    rows = list(rows_of(piece, source.row_type))
    good = [row for row in rows if not isinstance(row, BadRow)]
    bad: list[Made] = [row for row in rows if isinstance(row, BadRow)]
    return [*bad, *source.drafts(good, piece.stem)]


def _drafts(source: Source, path: Path) -> list[Draft]:
    made = _made(source, path)
    assert not [one for one in made if isinstance(one, BadRow)]
    return [one for one in made if isinstance(one, Draft)]


def test_a_post_has_title_and_text_and_its_thread(tmp_path: Path) -> None:
    rows = [post(1), post(2, text=""), post(3, title="", subreddit="", lang="de")]
    drafts = _drafts(_source("posts", licence="mine"), write_lines(tmp_path / "p.jsonl", rows))
    assert drafts[0].text == f"Story 1\n\n{rows[0]['text']}"
    assert drafts[1].text == "Story 2"
    assert drafts[2].text == rows[2]["text"]
    assert [draft.source for draft in drafts] == ["reddit/gardening", "reddit/gardening", "reddit"]
    assert {draft.licence for draft in drafts} == {"mine"}
    assert drafts[2].lang == "de"
    assert drafts[0].quality == 0


def test_comments_become_records_of_their_post_s_thread_if_wanted(tmp_path: Path) -> None:
    comment = {"id": "t1_9", "kind": "comment", "subreddit": "a", "created": 1, "text": "I agree"}
    loose = comment | {"id": "t1_8", "thread": "t3_0077", "text": "Not me"}
    path = write_lines(tmp_path / "p.jsonl", [post(1, comments=[comment]), loose])
    wanted = _drafts(_source("posts", comments="records"), path)
    assert [(one.id, one.thread) for one in wanted] == [
        ("t3_0001", "t3_0001"),
        ("t1_9", "t3_0001"),
        ("t1_8", "t3_0077"),
    ]
    assert len(_drafts(_source("posts"), path)) == 1


_DIALOGUE = [
    # Rows of two dialogues, out of order.
    (0, 1, "I did it again", "Please do not.", "__needs_caution__"),
    (1, 0, "Nice weather", "It is.", "__casual__"),
    (0, 0, "I broke a window", "Tell the owner.", "__probably_needs_caution__"),
    (0, 2, "Fine, I will pay", "Good.", "__casual__"),
]


def _prosocial_rows() -> list[dict[str, Any]]:
    return [
        {
            "context": said,
            "response": answer,
            "rots": ["You should pay for what you break.", ""] if turn == 0 else [],
            "safety_label": label,
            "safety_annotations": ["casual", "needs caution", "needs caution"],
            "safety_annotation_reasons": ["", "", ""],
            "source": "socialchem",
            "etc": None,
            "dialogue_id": dialogue,
            "response_id": turn,
            "episode_done": turn == 2,
        }
        for dialogue, turn, said, answer, label in _DIALOGUE
    ]


@pytest.mark.parametrize("form", ["train.jsonl", "train.json", "train.parquet"])
def test_prosocial_histories_are_built_by_dialogue(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    rows = _prosocial_rows()
    if form.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif form.endswith(".json"):
        import json

        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        write_lines(path, rows)
    drafts = {draft.id: draft for draft in _drafts(_source("prosocial"), path)}
    assert len(drafts) == 4
    last = drafts["prosocialdialog/train/0/2"]
    assert last.text == "Fine, I will pay"
    assert last.context == [
        ("user", "I broke a window"),
        ("assistant", "Tell the owner."),
        ("user", "I did it again"),
        ("assistant", "Please do not."),
    ]
    first = drafts["prosocialdialog/train/0/0"]
    assert first.labels == ("__probably_needs_caution__",)
    assert first.quality == 3
    assert first.context == []
    if form != "train.json":
        assert first.rules == ("You should pay for what you break.",)
    assert {draft.thread for draft in drafts.values()} == {
        "prosocialdialog/train/0",
        "prosocialdialog/train/1",
    }


def test_prosocial_keeps_the_newest_turns_only(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "train.jsonl", _prosocial_rows())
    drafts = _drafts(_source("prosocial", turns=2), path)
    assert max(len(draft.context) for draft in drafts) == 2
    longest = next(draft for draft in drafts if draft.id.endswith("0/2"))
    assert longest.context[0] == ("user", "I did it again")


def test_a_table_is_mapped_by_columns_values_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('post,class,n\n"Hello, you",fine,1\nGo away,rude,2\nHm,,3\n', encoding="utf-8")
    source = _source(
        "table",
        name="letters",
        licence="CC0-1.0",
        columns={"text": "post", "label": "class", "id": "n"},
        values={"lang": "en"},
        labels={"fine": ["casual"], "rude": ["possibly needs caution", "__needs_caution__"]},
    )
    one, two, three = _drafts(source, path)
    assert (one.text, one.id, one.lang, one.labels) == ("Hello, you", "1", "en", ("__casual__",))
    assert two.labels == ("__possibly_needs_caution__", "__needs_caution__")
    assert [draft.quality for draft in (one, two, three)] == [3, 2, 0]
    assert {draft.source for draft in (one, two, three)} == {"letters"}


def test_labels_that_are_not_mapped_make_bad_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [{"t": "a", "l": "odd"}, {"t": "b", "l": "casual"}])
    made = _made(_source("table", name="x", columns={"text": "t", "label": "l"}), path)
    assert isinstance(made[0], BadRow)
    assert made[0].number == 1
    assert "'odd' is not mapped" in made[0].why
    assert isinstance(made[1], Draft)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"columns": {"txt": "t"}}, "no field 'txt'"),
        ({"columns": {"id": "t"}}, "need a text"),
        ({"columns": {"text": "t"}, "labels": {"a": ["awful"]}}, "'awful' is no level"),
    ],
)
def test_a_wrong_mapping_is_a_wrong_recipe(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _source("table", name="x", **keys)


def test_records_keep_what_they_say_about_themselves(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "text": "Then what?",
            "context": [{"role": "assistant", "content": "Stop."}],
            "labels": ["__needs_caution__", "__casual__"],
            "rule": "Listen.",
            "source": "mine",
            "licence": "MIT",
            "id": None,
        },
        {"text": "Help me", "label": "__needs_intervention__", "weak": True},
        {"text": "Only a rule", "rule": "Be kind."},
    ]
    path = write_lines(tmp_path / "own.pack.jsonl", rows)
    one, two, three = _drafts(_source("pack", name="fallback", licence="CC0-1.0"), path)
    assert one.labels == ("__casual__", "__needs_caution__")
    assert (one.source, one.licence, one.rules, one.quality) == ("mine", "MIT", ("Listen.",), 2)
    assert one.context == [("assistant", "Stop.")]
    assert (two.source, two.licence, two.quality) == ("fallback", "CC0-1.0", 1)
    assert two.id == "own.pack:2"
    assert len(_drafts(_source("pack", unlabelled=False), path)) == 2
    assert three.labels == ()


@pytest.mark.parametrize(
    ("kind", "keys", "hint"),
    [
        ("posts", {}, 'kind = "table"'),
        ("pack", {}, 'kind = "table"'),
        ("prosocial", {}, 'kind = "table"'),
        ("table", {"name": "x", "columns": {"text": "massage"}}, "Did you mean message?"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_columns(
    tmp_path: Path, kind: str, keys: dict[str, Any], hint: str
) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [{"message": "hello"}])
    with pytest.raises(DataError) as caught:
        check_columns(looked_into(path, 0, "rows.jsonl"), _source(kind, **keys))
    assert str(path) in caught.value.message
    assert "message" in caught.value.message + caught.value.hint
    assert hint in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"\n\n", b"[]", b"\xff\xfe\x00"])
def test_an_empty_source_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError, match="no rows that can be read"):
        check_columns(looked_into(path, 0, "rows.jsonl"), _source("posts"))


def test_names_without_endings() -> None:
    assert stem_of("a/labels.train.jsonl.gz") == "labels.train"
    assert form_of("X.PARQUET") == ".parquet"
    assert form_of("x.txt") == ""
