"""Language identification with the bundled model."""

from __future__ import annotations

import pytest

from converters.language import UNDECIDED, language_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("My neighbour's dog digs up my flower beds every night.", "en"),
        ("Der Hund meines Nachbarn gräbt jede Nacht meine Beete um.", "de"),
        ("El perro de mi vecino destroza mis flores todas las noches.", "es"),
        ("Le chien du voisin\ndéterre mes fleurs\ntoutes les nuits.", "fr"),
        ("我邻居的狗每天晚上都挖我的花坛。", "zh"),
        ("Собака соседа каждую ночь раскапывает мои клумбы.", "ru"),
    ],
)
def test_sentences_are_told_apart(text: str, code: str) -> None:
    found, score = language_of(text)
    assert found == code
    assert 0.5 <= score <= 1


@pytest.mark.parametrize("text", ["", "  \n ", "lol", "lol wtf bro", "12345 67890 !!! ???"])
def test_too_little_is_undecided(text: str) -> None:
    assert language_of(text) == (UNDECIDED, 0.0)


def test_an_unsure_answer_is_undecided_and_keeps_its_score() -> None:
    found, score = language_of("xqzt wvkj prrm dlgh bbnq zzkt")
    assert found == UNDECIDED
    assert 0 < score < 0.5


def test_only_the_start_of_a_long_text_is_looked_at() -> None:
    assert language_of("The dog digs up the beds. " * 100_000)[0] == "en"
