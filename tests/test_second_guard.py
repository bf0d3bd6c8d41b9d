"""A second guard from the settings to the store: named, loaded, asked, shown, exported."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from oa_chat import config
from oa_chat.archive import MOST_STAGES, checked
from oa_chat.assembly import (
    Flags,
    build_guard,
    build_places,
    build_policy,
    build_session,
    wanted_models,
)
from oa_chat.commands.doctor import examine
from oa_chat.commands.report import verdict_fields, verdict_lines
from oa_chat.config import Settings, parse_settings
from oa_chat.conversation import Conversation, Turn
from oa_chat.engine.survey import Survey, SurveyedDevice
from oa_chat.errors import SettingsError, UsageError
from oa_chat.events import Answer, Checked, Ready
from oa_chat.exports.facts import facts_of, flag_lines
from oa_chat.guards.guard import LocalGuard
from oa_chat.guards.stages import UNSURE_BETWEEN, StagedGuard, Staging
from oa_chat.policy import decide
from oa_chat.session import ChatSession
from oa_chat.store import Store
from oa_chat.verdict import Severity, Stage, Verdict

T5 = Path(__file__).parent / "models" / "tiny-t5-seed.gguf"


def settings(**guard: object) -> Settings:
    lines = [f"{key} = {value!r}" for key, value in guard.items()]
    return parse_settings("\n".join(["[guard]", *lines]), Path("settings.toml"))


def test_the_defaults_are_one_guard_and_the_documented_band() -> None:
    assert isinstance(build_guard(Settings()), LocalGuard)
    assert Settings().guard.unsure_between == UNSURE_BETWEEN
    assert Staging() == Staging(Settings().guard.when, Settings().guard.unsure_between)


def test_two_guards_are_named_in_the_settings() -> None:
    built = build_guard(settings(second=str(T5), when="always", unsure_between=[0.2, 0.7]))
    assert isinstance(built, StagedGuard)
    assert built.name == "embedded guard + tiny-t5-seed"
    assert built.staging == Staging("always", (0.2, 0.7))
    assert isinstance(build_guard(settings(second="none")), LocalGuard)
    assert build_guard(settings(model="none", second=str(T5))) is None


def test_a_flag_names_the_second_guard(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[guard]\nsecond = "/no/such.gguf"\n')
    assert Flags(config=file, second_guard="none").settings().guard.second == "none"
    assert Flags(config=file).settings().guard.second == "/no/such.gguf"


def test_a_policy_file_names_two_guards(tmp_path: Path) -> None:
    policy = tmp_path / "careful.toml"
    levels = [f'{level.label.strip("_")} = "nudge"' for level in Severity]
    said = ["[guard]", 'judge = "embedded"', f'second = "{T5.as_posix()}"', 'when = "flagged"']
    policy.write_text("\n".join(['name = "careful"', "[levels]", *levels, *said]))
    built = build_guard(Flags(policy=str(policy), config=None).settings())
    assert isinstance(built, StagedGuard)
    assert built.name == "embedded guard + tiny-t5-seed"
    assert built.staging.when == "flagged"
    off = Flags(policy=str(policy), second_guard="none").settings()
    assert isinstance(build_guard(off), LocalGuard)


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ({"when": "sometimes"}, "line 2: guard.when"),
        ({"unsure_between": [0.9, 0.1]}, "the larger number first"),
        ({"unsure_between": [0.1]}, "guard.unsure_between"),
        ({"unsure_between": [-1, 0.5]}, "guard.unsure_between"),
        ({"device": "tpu"}, "line 2: guard.device"),
    ],
)
def test_wrong_settings_are_told(guard: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**guard)


def test_the_same_guard_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="the same guard"):
        build_guard(settings(second="embedded"))


async def test_every_model_of_the_settings_gets_a_place() -> None:
    wanted = wanted_models(settings(second=str(T5), device="gpu"))
    assert [(one.part, one.wish) for one in wanted] == [
        ("chat", "auto"),
        ("guard", "gpu"),
        ("second guard", "gpu"),
    ]
    alone = build_places(settings(), chat=False)
    assert list(await alone.placements()) == ["guard"]


# ------------------------------------------------------------ end to end


async def send(checked: Checked) -> Answer:
    return Answer.SEND


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[ChatSession]:
    built = build_session(settings(second=str(T5), when="always"), tmp_path / "c.sqlite3")
    yield built
    await built.close()


async def test_both_guards_judge_and_are_stored_and_exported(
    session: ChatSession, tmp_path: Path
) -> None:
    ready = [event.part async for event in session.load() if isinstance(event, Ready)]
    assert sorted(ready) == ["chat", "guard", "second guard"]
    assert ready.index("guard") < ready.index("second guard")
    events = [event async for event in session.send("Hello, how are you?", send)]
    (said,) = [event.verdict for event in events if isinstance(event, Checked)]
    assert [stage.guard for stage in said.stages] == ["embedded guard", "tiny-t5-seed"]
    assert all(stage.asked and stage.latency_ms > 0 for stage in said.stages)
    stored = Store(tmp_path / "c.sqlite3").last_conversation()
    assert stored is not None
    assert stored.turns[0].verdict == said
    assert facts_of(stored).guard == "embedded guard, tiny-t5-seed"
    lines = flag_lines(stored.turns[0])
    assert any(line.startswith("Guard: tiny-t5-seed: ") for line in lines)


def test_json_and_lines_show_the_stages() -> None:
    stages = (
        Stage("fast", True, "asked first", Severity.CAUTION, 0.51234, 6.0),
        Stage("strong", True, "the first flagged it", Severity.CASUAL, 0.97, 800.0, counts=True),
    )
    verdict = Verdict(Severity.CASUAL, "strong", stages=stages)
    decision = decide(verdict, build_policy(Settings()))
    fast, strong = verdict_fields(verdict, decision)["stages"]
    assert (fast["label"], fast["certainty"], fast["counts"]) == (
        "__needs_caution__",
        0.5123,
        False,
    )
    assert (strong["why"], strong["latency_ms"]) == ("the first flagged it", 800.0)
    assert "Guard: fast: ● needs caution (51 %), 6 ms" in verdict_lines(verdict, decision)
    assert "stages" not in verdict_fields(replace(verdict, stages=()), decision)


def test_an_import_cannot_bring_endless_stages() -> None:
    stages = tuple(Stage(f"guard {number}", False, "") for number in range(MOST_STAGES + 1))
    turn = Turn(1, "hello", verdicts=(Verdict(Severity.CASUAL, "g", stages=stages),))
    with pytest.raises(UsageError, match="stages"):
        checked(Conversation(1, "", "", (turn,)), "notes.json")


# ------------------------------------------------------------ doctor


async def test_doctor_shows_both_guards_and_their_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = Flags(second_guard=str(T5), data_dir=tmp_path)
    assert await examine(flags, as_json=False) == 0
    printed = capsys.readouterr().out
    for part in ("guard ", "second guard "):
        line = next(line for line in printed.splitlines() if line.startswith(f"ok   {part}"))
        assert "MiB of memory" in line
    assert "built for CPU" in printed
    assert "second guard: CPU" in printed
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(T5.read_bytes()[:5000])
    assert await examine(replace(flags, second_guard=str(damaged)), as_json=False) == 4
    assert "truncated" in capsys.readouterr().out


async def test_doctor_says_what_goes_where_on_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The devices are made up: none of these machines is at hand."""

    async def look() -> Survey:
        gpu = SurveyedDevice("CUDA0", "a made-up GPU", True, 2**33, 2**34)
        return Survey("0", "", [gpu], 8, ["CUDA", "MTL", "CPU"])

    monkeypatch.setattr("oa_chat.commands.doctor.look_around", look)
    await examine(Flags(data_dir=tmp_path), as_json=False)
    printed = capsys.readouterr().out
    assert "built for CUDA, Metal, CPU; 8 cores" in printed
    assert "CUDA0: a made-up GPU, 8,192 of 16,384 MiB free" in printed
    assert re.search(r"chat: CUDA0, about \d+ MiB: all of it fits", printed)
    assert re.search(r"guard: CPU, about \d+ MiB: it is small", printed)


async def test_doctor_says_that_a_wanted_gpu_is_not_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[chat]\ndevice = "gpu"\n')
    assert await examine(Flags(config=file, data_dir=tmp_path), as_json=False) == 1
    printed = capsys.readouterr().out
    assert "BAD  place" in printed
    assert "docs/devices.md" in printed
    assert config.Settings().chat.device == "auto"
