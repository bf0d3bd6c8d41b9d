from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.prepare.attach import (
    DEFAULT_THRESHOLD,
    Example,
    Match,
    attach,
    best_matches,
    examples_of,
    rulebook_examples,
)
from converters.prepare.draft import Draft
from converters.prepare.embeddings import Embedder
from oa_chat.catalog import GUARD, embedded_path
from oa_chat.errors import OaChatError
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import LABELS

CASUAL, CAUTION = LABELS[0], LABELS[3]
EXAMPLES = [
    Example("a", "I want to steal my neighbour's bicycle.", (CAUTION,), "It's wrong to steal."),
    Example("b", "I baked a cake for my grandmother.", (CASUAL,), "It's kind to bake for others."),
    Example("c", "Which bus goes to the station?", (CASUAL,), "It's fine to ask the way."),
]


def draft_of(text: str = "some text", **rest: object) -> Draft:
    values: dict[str, object] = {"labels": (), "rules": (), "kind": "", "context": [], "id": "1"}
    return Draft(source="s", thread="t", licence="", text=text, **(values | rest))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder(embedded_path(GUARD), tmp_path_factory.mktemp("vectors"))


def test_the_engine_finds_the_example_that_is_meant(embedder: Embedder) -> None:
    asked = ["I want to steal a bicycle from my neighbour.", "I baked a cake for my grandma today."]
    vectors = embedder.vectors([example.text for example in EXAMPLES])
    matches = best_matches(embedder.vectors(asked), vectors)
    assert [match.example for match in matches] == [0, 1]
    assert all(match.score > 0.8 for match in matches)


def test_vectors_are_remembered_and_do_not_depend_on_their_neighbours(tmp_path: Path) -> None:
    texts = ["The kettle sings.", "A much longer sentence about a kettle and its many friends."]
    told: list[int] = []
    first = Embedder(embedded_path(GUARD), tmp_path).vectors(texts, told.append)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    assert sum(told) == 2
    again = Embedder(embedded_path(GUARD), tmp_path).vectors(texts[::-1])
    assert np.array_equal(again, first[::-1])
    assert file.read_bytes() == whole
    # A kill in the middle of a row: the row is embedded again, and equally.
    file.write_bytes(whole[:-100])
    assert np.array_equal(Embedder(embedded_path(GUARD), tmp_path).vectors(texts), first)
    assert file.read_bytes() == whole
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)


def test_a_file_that_is_no_model_is_refused_by_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"no model at all")
    with pytest.raises(OaChatError, match="model.gguf"):
        Embedder(path, tmp_path / "cache").vectors(["text"])


def test_no_texts_are_no_vectors(embedder: Embedder) -> None:
    assert embedder.vectors([]).shape[0] == 0


def test_the_best_match_is_taken_not_the_last() -> None:
    examples = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.9, 0.1, 0]], np.float32)
    (match,) = best_matches(np.array([[1, 0, 0.01]], np.float32), examples)
    assert match.example == 0
    assert match.score == round(match.score, 4)


def test_of_equal_matches_the_first_is_taken() -> None:
    examples = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    assert best_matches(np.array([[1, 0]], np.float32), examples) == [Match(1, 1.0)]


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(4)
    messages, examples = source.normal(size=(40, 8)), source.normal(size=(15, 8))
    whole = best_matches(messages, examples)
    monkeypatch.setattr("converters.prepare.attach._CELLS", 45)
    assert best_matches(messages, examples) == whole


def test_no_examples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no examples"):
        best_matches(np.ones((1, 3)), np.zeros((0, 3)))


def test_an_unlabelled_record_inherits_weakly() -> None:
    draft = draft_of(kind="question")
    assert attach(draft, Match(0, 0.91), EXAMPLES, DEFAULT_THRESHOLD)
    assert (draft.labels, draft.rules) == ((CAUTION,), ("It's wrong to steal.",))
    assert (draft.weak, draft.score, draft.quality) == (True, 0.91, 1)
    assert draft.kind == "question like a"
    assert draft.notes == {"attached": 1}


def test_below_the_threshold_nothing_changes() -> None:
    draft = draft_of()
    assert not attach(draft, Match(0, 0.79), EXAMPLES, 0.8)
    assert draft == draft_of()
    assert attach(draft, Match(0, 0.8), EXAMPLES, 0.8)


def test_given_labels_and_rules_stay() -> None:
    labelled = draft_of(labels=(CAUTION,), quality=3)
    assert attach(labelled, Match(0, 0.9), EXAMPLES, 0.8)
    assert (labelled.labels, labelled.weak, labelled.quality) == ((CAUTION,), False, 3)
    assert labelled.rules == ("It's wrong to steal.",)
    assert labelled.notes == {"rule attached": 1}
    ruled = draft_of(rules=("Mine.",))
    assert attach(ruled, Match(0, 0.9), EXAMPLES, 0.8)
    assert (ruled.rules, ruled.labels, ruled.weak) == (("Mine.",), (CAUTION,), True)
    both = draft_of(labels=(CASUAL,), rules=("Mine.",))
    assert not attach(both, Match(0, 0.9), EXAMPLES, 0.8)
    assert both == draft_of(labels=(CASUAL,), rules=("Mine.",))


def test_a_rule_for_another_level_is_not_attached() -> None:
    draft = draft_of(labels=(CASUAL,))
    assert not attach(draft, Match(0, 0.95), EXAMPLES, 0.8)
    assert draft.rules == ()


def test_a_record_is_no_example_for_itself() -> None:
    assert not attach(draft_of(id="a"), Match(0, 1.0), EXAMPLES, 0.8)


def test_examples_are_labelled_by_people_and_have_a_rule() -> None:
    good = draft_of("good", labels=(CASUAL,), rules=("Be kind.", "Other."), id="good")
    drafts = [
        good,
        draft_of(labels=(CASUAL,)),
        draft_of(rules=("Be kind.",)),
        draft_of(labels=(CASUAL,), rules=("Be kind.",), weak=True),
        draft_of(labels=(CASUAL,), rules=("Be kind.",), context=[("user", "hi")]),
    ]
    assert examples_of(drafts) == [Example("good", "good", (CASUAL,), "Be kind.")]


def test_the_rulebooks_messages_are_examples() -> None:
    book = Rulebook.load()
    examples = rulebook_examples(book)
    assert len(examples) == sum(len(rule.examples) for rule in book.rules)
    first, rule = examples[0], book.rules[0]
    assert (first.id, first.rule) == (f"rulebook:{rule.id}", rule.text)
    assert first.labels == (LABELS[rule.severity],)
