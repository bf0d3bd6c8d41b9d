"""The general rules in other languages: all there, sound, and chosen by the message's language."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat import language
from oa_chat.errors import SettingsError
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.policy import compose_sent
from oa_chat.rule_file import GENERAL_IDS
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Severity

BOOK = Rulebook.load()
LANGUAGES = ("de", "fr", "es", "pt", "hi", "zh")
OWN = """
[[rule]]
id = "sei-nett-zu-katzen"
text = "Be kind to cats."
category = "animals"
severity = 2
examples = ["ich trete meine katze", "die katze nervt mich", "ich hasse katzen"]

[[translation]]
id = "sei-nett-zu-katzen"
language = "de"
text = "Sei nett zu Katzen."
"""


def test_every_language_has_the_same_texts() -> None:
    wanted = {(identity, code) for identity in GENERAL_IDS[1:] for code in LANGUAGES}
    assert set(BOOK.translations) == wanted
    assert len(set(BOOK.translations.values())) == len(wanted)


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_texts_are_in_their_language_and_read_well(code: str) -> None:
    texts = [BOOK.translations[identity, code] for identity in GENERAL_IDS[1:]]
    assert language.detect(" ".join(texts)) == code
    for text in texts:
        assert text == text.strip()
        assert text[-1] in ".।。"
        assert not set(text) & set("[]{}<>\n")
        assert unicodedata.is_normalized("NFC", text)
        assert len(text) <= 110


@pytest.mark.parametrize("severity", [1, 2, 3, 4])
def test_the_language_of_the_message_chooses_the_text(severity: int) -> None:
    found = {code: BOOK.match("xyzzy", severity, code).text for code in ("", "en", *LANGUAGES)}
    assert found[""] == found["en"] == BOOK.general[severity]
    assert len(set(found.values())) == len(LANGUAGES) + 1
    assert BOOK.match("xyzzy", severity, "fi").text == BOOK.general[severity]


async def test_the_guideline_that_is_sent_is_the_same_text() -> None:
    author = RulebookAuthor(Rulebook.load)
    typed = "Ich hasse meine Nachbarn und will sie hauen"
    rule = await author.rule(typed, Severity.CAUTION, language.detect(typed))
    assert rule.text == BOOK.translations["general-needs-caution", "de"]
    assert compose_sent(typed, rule.text) == f"{typed}\n\n[Guideline: {rule.text}]"


def test_english_rules_are_not_found_by_words_that_look_english() -> None:
    """In German, "die" and "war" mean "the" and "was"."""
    text = "die Mutter die krank war will jetzt die Kinder sehen, so die war also gift"
    assert BOOK.match(text, 4, "de").general
    assert BOOK.candidates(text, 4, "de").best == ()


def test_your_own_file_may_have_rules_and_texts_in_any_language(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN, encoding="utf-8")
    book = Rulebook.load(file)
    match = book.match("ich hasse katzen und die katze nervt mich", 2, "de")
    assert (match.text, match.source) == ("Sei nett zu Katzen.", "user")
    assert book.match("xyzzy", 2, "de").text == BOOK.match("xyzzy", 2, "de").text


def test_a_shipped_translation_does_not_speak_for_your_own_text(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[[general]]\nseverity = 3\ntext = "Take a breath."\n', encoding="utf-8")
    book = Rulebook.load(file)
    assert book.match("xyzzy", 3, "de").text == "Take a breath."
    assert book.match("xyzzy", 2, "de").text == BOOK.match("xyzzy", 2, "de").text


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('id = "sei-nett-zu-katzen"\nlanguage', 'id = "nobody"\nlanguage', "there is no such rule"),
        ('language = "de"', 'language = "deutsch"', "language must be one"),
        ('language = "de"', 'language = "en"', "language must be one"),
        ('language = "de"', "language = 3", "language must be one"),
        ('language = "de"', 'language = "de"\nlevel = 3', "unknown key 'level'"),
        ('text = "Sei nett zu Katzen."', "", "text must be a text"),
        ("Sei nett zu Katzen", "Sei\\u001b[31m nett", "not plain text"),
    ],
)
def test_a_wrong_translation_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in OWN
    file = tmp_path / "own.toml"
    file.write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        Rulebook.load(file)
    assert told in caught.value.message
    assert "own.toml" in caught.value.message
    assert caught.value.hint


def test_a_translation_that_is_there_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    twice = OWN + OWN[OWN.index("[[translation]]") :]
    file.write_text(twice, encoding="utf-8")
    with pytest.raises(SettingsError, match="twice in 'de'"):
        Rulebook.load(file)


@given(st.text(max_size=200), st.integers(0, 4))
def test_the_candidates_agree_with_the_match(message: str, severity: int) -> None:
    match, found = BOOK.match(message, severity), BOOK.candidates(message, severity)
    assert all(one.score >= other.score for one, other in pairwise(found.best))
    assert match.general == (not found.best or found.best[0].score < found.threshold)
    assert all(one.words for one in found.best)


def test_the_shared_words_are_those_that_were_typed() -> None:
    best = BOOK.candidates("My HUSBAND keeps hitting me when he drinks", 4).best[0]
    assert best.rule.id == "partner-hits-me"
    assert {"husband", "hitting", "hitting me"} <= set(best.words)
