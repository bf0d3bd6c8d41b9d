"""The steps that only keep or drop: length, quality and language; and the registry of all."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.language import Language, LanguageSettings
from converters.prepare.steps.length import Length, LengthSettings
from converters.prepare.steps.quality import Quality, QualitySettings
from converters.prepare.steps.registry import STEPS

GERMAN = "Ich habe gestern mit meiner Nachbarin über den Garten gesprochen."
ENGLISH = "I talked to my neighbour about the garden yesterday evening."


def draft_of(text: str, lang: str = "") -> Draft:
    return Draft("1", "s", "t", "", "", text, [], (), (), lang=lang)


@pytest.mark.parametrize(
    ("text", "settings", "reason"),
    [
        ("hm", {}, "too short"),
        ("hmm", {}, KEEP),
        ("x" * 2001, {}, "too long"),
        ("x" * 2001, {"max_characters": 0}, KEEP),
        ("two words", {"min_words": 3}, "too short"),
        ("now three words", {"min_words": 3}, KEEP),
        ("a b " * 201, {}, "too long"),
        ("a b " * 201, {"max_words": 0}, KEEP),
    ],
)
def test_length(text: str, settings: dict[str, int], reason: str) -> None:
    assert Length(LengthSettings(**settings)).apply(draft_of(text)) == reason


@pytest.mark.parametrize(
    ("text", "settings", "reason"),
    [
        ("[deleted]", {}, "deleted"),
        (" [Removed] ", {}, "deleted"),
        ("7 + 8 - (9 / 3) = 12", {}, "few letters"),
        ("<email> <phone>", {}, "few letters"),
        ("<email> is my address", {}, KEEP),
        ("7 + 8 - (9 / 3) = 12", {"min_letters": 0.0}, KEEP),
        ("मुझे चाय बहुत पसंद है", {}, KEEP),
        ("我很喜欢喝茶。", {}, KEEP),
        ("tea\ntea\ntea\ncoffee", {}, "repeated lines"),
        ("tea\ncoffee\nmilk\ntea", {}, KEEP),
        ("tea\ntea\ntea\ncoffee", {"max_repeated_lines": 1.0}, KEEP),
        ("buy " * 12 + "now", {}, "repeated words"),
        ("buy " * 12 + "now", {"max_repeated_words": 1.0}, KEEP),
        ("STOP SHOUTING AT ME", {}, KEEP),
        ("STOP SHOUTING AT ME", {"capitals": False}, "all capitals"),
        ("OK LOL", {"capitals": False}, KEEP),
        ("<url> <url> look", {}, "mostly links"),
        ("https://example.org here", {}, KEEP),
        ("www.example.org https://example.net", {}, "mostly links"),
        ("<url> <url> look", {"max_links": 1.0}, KEEP),
        ("I am a bot, and this was on its own", {}, "bot message"),
        ("Beep boop! Counting your words.", {}, "bot message"),
        ("This action was performed automatically.", {}, "bot message"),
        ("I am a bot, and this was on its own", {"bots": True}, KEEP),
        ("I bought a robot vacuum cleaner", {}, KEEP),
        ("Your submission has been removed for its title.", {}, "boilerplate"),
        ("Please contact the moderators of this place.", {}, "boilerplate"),
        ("Subscribe to my channel for more", {}, "boilerplate"),
        ("Subscribe to my channel for more", {"boilerplate": True}, KEEP),
        ("The moderators removed nothing here", {}, KEEP),
    ],
)
def test_quality(text: str, settings: dict[str, float], reason: str) -> None:
    assert Quality(QualitySettings(**settings)).apply(draft_of(text)) == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "settings", "reason", "lang"),
    [
        (ENGLISH, {}, KEEP, "en"),
        (GERMAN, {}, KEEP, "de"),
        (GERMAN, {"keep": ("en",)}, "other language", "de"),
        (GERMAN, {"keep": ("en", "de")}, KEEP, "de"),
        ("lol wtf", {}, KEEP, "und"),
        ("lol wtf", {"keep": ("en",)}, KEEP, "und"),
        ("lol wtf", {"keep": ("en",), "undecided": "drop"}, "undecided language", "und"),
    ],
)
def test_language(text: str, settings: dict[str, object], reason: str, lang: str) -> None:
    draft = draft_of(text)
    assert Language(LanguageSettings(**settings)).apply(draft) == reason  # type: ignore[arg-type]
    assert draft.lang == lang


def test_a_given_language_stays_unless_asked() -> None:
    draft = draft_of(GERMAN, lang="en")
    assert Language(LanguageSettings(keep=("en",))).apply(draft) == KEEP
    assert Language(LanguageSettings(keep=("en",), again=True)).apply(draft) == "other language"


@pytest.mark.parametrize("name", STEPS)
def test_the_registry_makes_steps_of_their_tables(name: str) -> None:
    kind = STEPS[name]
    assert kind.version >= 1
    assert kind.make(msgspec.convert({}, kind.struct)).name == name
    with pytest.raises(msgspec.ValidationError, match="no_such_key"):
        msgspec.convert({"no_such_key": 1}, kind.struct)


def test_all_steps_are_there() -> None:
    assert set(STEPS) == {"normalise", "language", "scrub", "question", "length", "quality"}


@pytest.mark.parametrize("name", STEPS)
@given(text=st.text(max_size=60))
def test_no_step_raises(name: str, text: str) -> None:
    step = STEPS[name].make(STEPS[name].struct())
    draft = draft_of(text)
    assert isinstance(step.apply(draft), str)
