"""`oa-chat check --explain`: what it shows is what decided, for every kind of guard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oa_chat.commands.explain import explanation_lines
from oa_chat.guards.family import Part, Reading
from oa_chat.policies.shelf import shipped
from oa_chat.verdict import LABELS
from tests.guards.guard_files import llama_guard, qwen3guard, shieldgemma

T5 = Path(__file__).parent / "models" / "tiny-t5-seed.gguf"
CALM = "We walked along the river and looked at the boats in the evening sun. "
BAD = "I will stab my neighbour with a kitchen knife tonight."


def check(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "oa_chat", "check", "--explain", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def fields(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(check("--json", *arguments, code=code).stdout)
    return found


def test_a_long_text_shows_its_pieces_and_the_one_that_decided() -> None:
    text = CALM * 4 + BAD + " " + CALM * 4
    found = fields(text)
    explained = found["explanation"]
    (guard,) = explained["guards"]
    start, end = guard["worst"]
    assert BAD in text[start:end] == explained["decisive"]
    parts = guard["parts"]
    assert len(parts) > 3
    assert all(0 <= part["start"] < part["end"] <= len(text) for part in parts)
    assert all(sum(part["probabilities"].values()) == pytest.approx(1, abs=0.01) for part in parts)
    worst = max(parts, key=lambda part: LABELS.index(part["label"]))
    assert worst["label"] == found["label"]
    looked = [part for part in parts if part["looks"]]
    assert looked
    for part in looked:
        assert len(part["looks"]) == 3
        for label in LABELS:
            mean = sum(look[label] for look in part["looks"]) / 3
            assert part["probabilities"][label] == pytest.approx(mean, abs=0.001)
    told = check(text).stdout
    assert f"→ {start:,} to {end:,}" in told
    assert "on its own" in told
    assert "What decided: " in told


def test_the_rule_shows_its_words_and_runners_up() -> None:
    found = fields("My husband keeps hitting me when he drinks")
    rules = found["explanation"]["rules"]
    best = rules["candidates"][0]
    assert best["text"] == found["rule"]
    assert best["score"] >= rules["threshold"]
    assert {"husband", "hitting"} <= set(best["words"])
    assert len(rules["candidates"]) == 4
    told = check("My husband keeps hitting me when he drinks").stdout
    assert f"({best['id']}) shares: " in told
    assert "→" in told


def test_each_policy_says_what_it_would_do(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "broken.toml").write_text("= nonsense")
    done = check("--json", "--config", str(config), BAD)
    found = json.loads(done.stdout)
    policies = found["explanation"]["policies"]
    assert set(policies) == set(shipped())
    assert policies["strict"]["action"] in ("confirm", "block")
    assert policies["balanced"]["guideline"] == found["rule"]
    assert "broken.toml" in done.stderr


def test_language_and_settings_of_the_guard_are_shown() -> None:
    told = check("Ich hasse meine Nachbarn und will sie hauen").stdout
    assert "German, which this guard does not know. The guard knows: English." in told
    assert "family classifier, temperature " in told
    assert "What each policy would do:" in told
    (guard,) = fields("hello there, how are you?")["explanation"]["guards"]
    assert guard["languages"] == ["en"]
    assert guard["temperature"] > 0


def test_a_t5_guard_shows_what_it_wrote() -> None:
    text = "I think all white people are racists"
    found = fields("--guard", str(T5), text)
    (guard,) = found["explanation"]["guards"]
    assert guard["family"] == "open-assistant"
    assert guard["raw"]
    assert guard["flag_below"] is None
    assert "The guard wrote the rule itself." in check("--guard", str(T5), text).stdout


@pytest.mark.parametrize("make", [llama_guard, qwen3guard, shieldgemma])
def test_a_guard_that_writes_is_explained_as_well(tmp_path: Path, make: Any) -> None:
    guard = str(make(tmp_path))
    done = check("--guard", guard, "what a hat!")
    assert " read it: family " in done.stdout
    assert "needs" in done.stdout
    found = fields("--guard", guard, "what a hat!")
    assert found["explanation"]["guards"][0]["family"] == make.__name__.replace("_", "-")
    assert found["explanation"]["policies"]["strict"]["action"] != "pass"


def test_both_guards_of_a_stack_are_explained(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    second = qwen3guard(tmp_path).as_posix()
    config.write_text(f'[guard]\nsecond = "{second}"\nwhen = "flagged"\n')
    found = fields("--config", str(config), BAD[:-1] + "!")["explanation"]
    assert [one["family"] for one in found["guards"]] == ["classifier", "qwen3guard"]
    told = check("--config", str(config), "hello there, how are you?").stdout
    assert told.count(" read it: family ") == 1


def test_windows_of_a_guard_that_writes_are_shown(tmp_path: Path) -> None:
    text = CALM * 20 + "what a hat! " + CALM * 12
    found = fields("--guard", str(llama_guard(tmp_path, context=1500)), text)
    (guard,) = found["explanation"]["guards"]
    assert len(guard["parts"]) > 2
    for part in guard["parts"]:
        flagged = "!" in text[part["start"] : part["end"]]
        assert (part["label"] != LABELS[0]) == flagged
    start, end = guard["worst"]
    assert "!" in text[start:end]


def test_a_guard_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "x.gguf"
    broken.write_bytes(b"GGUF" + bytes(40))
    done = check("--guard", str(broken), "hello", code=4)
    assert "x.gguf" in done.stderr
    assert done.stdout == ""


def test_lines_of_input_have_no_explanation() -> None:
    assert "--explain is for texts" in check("--jsonl", code=2).stderr


def test_nothing_that_others_wrote_reaches_the_terminal_as_it_is() -> None:
    from oa_chat.commands.explain import Explanation, GuardReading
    from oa_chat.engine.process import Engine
    from oa_chat.guards.authors import RulebookAuthor
    from oa_chat.guards.guard import LocalGuard
    from oa_chat.guards.registry import identify
    from oa_chat.rulebook import Rulebook
    from oa_chat.verdict import unreadable

    evil = "\x1b[2J\x07\u202eevil"
    family = identify(T5).family
    guard = LocalGuard(evil, Engine(T5, "seq2seq"), family, RulebookAuthor(Rulebook.load))
    verdict = unreadable(evil, evil, raw=evil)
    parts = tuple(Part(None, None, at, at + 9, raw=evil) for at in range(3))
    reading = Reading(None, raw=evil, failure=evil, windows=3, parts=parts)
    explained = Explanation(evil, verdict, (GuardReading(guard, verdict, reading),), None, "x")
    lines = explanation_lines(explained, shipped()["strict"], shipped())
    assert not set("\n".join(lines)) & set("\x1b\x07\u202e")
    assert any("held back" in line for line in lines)
    assert sum("no verdict" in line for line in lines) >= 3
