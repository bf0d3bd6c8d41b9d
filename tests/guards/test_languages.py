"""The language of what is judged: found, known or not to the guard, and chosen for the rule."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import gguf
import pytest

from oa_chat import language
from oa_chat.catalog import GUARD, embedded_path
from oa_chat.conversation import Message
from oa_chat.engine.gguf_header import read_header
from oa_chat.engine.process import Engine
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.guards.guard import LocalGuard
from oa_chat.guards.languages import known_languages, spoken_in
from oa_chat.guards.registry import FAMILIES, identify
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Severity
from tests.guards.guard_files import llama_guard, qwen3guard, shieldgemma

GERMAN = "Ich hasse meine Nachbarn und will sie hauen!"
ENGLISH = "I really hate my neighbours today!"


def opened(path: Path) -> LocalGuard:
    found = identify(path)
    engine = Engine(path, found.family.kind)
    author = RulebookAuthor(Rulebook.load)
    return LocalGuard("tiny", engine, found.family, author, languages=found.languages)


@pytest.fixture
async def embedded() -> AsyncIterator[LocalGuard]:
    guard = opened(embedded_path(GUARD))
    await guard.load()
    yield guard
    await guard.close()


def header_with(folder: Path, languages: list[str] | None, name: str = "some guard") -> Path:
    writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
    writer.add_name(name)
    if languages is not None:
        writer.add_array("general.languages", languages)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "m.gguf"


@pytest.mark.parametrize(
    ("stated", "family", "known"),
    [
        (["en"], "qwen3guard", ("en",)),
        (["EN", "de_AT", "pt-BR", "de"], "wildguard", ("en", "de", "pt")),
        (["en", "multilingual"], "wildguard", ()),
        (["\x1b[31m", "english", "zho"], "classifier", ()),
        (["english"], "wildguard", ("en",)),
        (None, "wildguard", ("en",)),
        (None, "qwen3guard", ()),
        (None, "classifier", ()),
    ],
)
def test_a_file_speaks_for_itself_and_else_its_family(
    tmp_path: Path, stated: list[str] | None, family: str, known: tuple[str, ...]
) -> None:
    assert known_languages(read_header(header_with(tmp_path, stated)), family) == known


def test_the_later_nemoguard_knows_more(tmp_path: Path) -> None:
    header = read_header(header_with(tmp_path, None, "Nemotron Safety Guard 8B v3"))
    assert "hi" in known_languages(header, "nemoguard")


def test_the_table_is_about_families_that_there_are(tmp_path: Path) -> None:
    header = read_header(header_with(tmp_path, None))
    known = {family: known_languages(header, family) for family in FAMILIES}
    assert sum(bool(codes) for codes in known.values()) >= 8
    assert all(len(code) == 2 for codes in known.values() for code in codes)
    assert all("en" in codes for codes in known.values() if codes)


async def test_the_embedded_guard_says_that_it_knows_english(embedded: LocalGuard) -> None:
    assert embedded.languages == ("en",)
    foreign, own, short = await embedded.check_many(
        [[Message("user", text)] for text in (GERMAN, ENGLISH, "ok")]
    )
    assert (foreign.language, foreign.language_known) == ("de", False)
    assert (own.language, own.language_known) == ("en", True)
    assert (short.language, short.language_known) == ("", True)


async def test_a_reply_has_a_language_too(embedded: LocalGuard) -> None:
    messages = [Message("user", "hello"), Message("assistant", GERMAN)]
    assert (await embedded.check(messages, "reply")).language == "de"


@pytest.mark.parametrize(
    ("make", "known"), [(llama_guard, True), (qwen3guard, True), (shieldgemma, False)]
)
async def test_guards_that_write_get_the_rule_in_the_language(
    tmp_path: Path, make: object, known: bool
) -> None:
    guard = opened(make(tmp_path))  # type: ignore[operator]
    try:
        verdict = await guard.check([Message("user", GERMAN)])
    finally:
        await guard.close()
    assert verdict.severity is not None
    assert verdict.severity > Severity.CASUAL
    assert (verdict.language, verdict.language_known) == ("de", known)
    level = verdict.severity
    assert verdict.rule == Rulebook.load().match("", level, "de").text
    assert verdict.rule != Rulebook.load().general[level]


async def test_a_guard_that_fails_still_says_the_language(tmp_path: Path) -> None:
    guard = opened(llama_guard(tmp_path))
    (tmp_path / "guard-1.gguf").unlink()
    verdict = await guard.check([Message("user", GERMAN)])
    assert not verdict.readable
    assert verdict.language == "de"


def test_finding_the_language_costs_next_to_nothing() -> None:
    language.identifier()
    times = []
    for _ in range(200):
        started = time.perf_counter()
        spoken_in([ENGLISH], ("en",))
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.001  # 0.04 ms when nothing else runs


async def test_a_missing_identifier_stops_no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    language.identifier.cache_clear()
    guard = opened(embedded_path(GUARD))
    try:
        await guard.load()
        verdict = await guard.check([Message("user", GERMAN)])
    finally:
        await guard.close()
        language.identifier.cache_clear()
    assert verdict.readable
    assert (verdict.language, verdict.language_known) == ("", True)


async def test_a_huge_text_does_not_stop_the_screen(embedded: LocalGuard) -> None:
    """Its language is found beside the event loop, which goes on."""
    threads: list[str] = []
    detect = language.detect

    def noted(text: str) -> str:
        threads.append(threading.current_thread().name)
        return detect(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "detect", noted)
        await embedded.check([Message("user", ENGLISH * 500)])
    assert threads
    assert threading.main_thread().name not in threads


async def test_loading_is_no_part_of_what_a_check_takes() -> None:
    guard = opened(embedded_path(GUARD))
    try:
        started = time.perf_counter()
        first = await guard.check([Message("user", ENGLISH)])
        whole = (time.perf_counter() - started) * 1000
        assert guard.info is not None
        assert first.latency_ms < whole - guard.info.load_ms
    finally:
        await guard.close()
