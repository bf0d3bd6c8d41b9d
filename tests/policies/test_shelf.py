"""Policies are found by name or path; a shipped name is always the shipped policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.assembly import Flags, build_policy
from oa_chat.config import ChatSettings, Settings
from oa_chat.errors import SettingsError
from oa_chat.policies.applying import filled_in
from oa_chat.policies.file import parse_profile
from oa_chat.policies.shelf import SHIPPED, Shelf
from oa_chat.policy import Action
from oa_chat.sampling import Sampling
from oa_chat.verdict import Severity
from tests.policies.test_policy_file import LEVELS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "mine.toml").write_text(LEVELS)
    (folder / "mine.examples.toml").write_text("")
    (folder / "notes.txt").write_text("")
    (folder / "strict.toml").write_text(LEVELS.replace('"block"', '"pass"'))
    return folder


def test_names_are_the_shipped_and_the_users(folder: Path) -> None:
    assert Shelf(folder).names() == [*SHIPPED, "mine"]
    assert Shelf(folder / "nowhere").names() == [*SHIPPED]
    assert Shelf().names() == [*SHIPPED]


def test_a_users_file_cannot_take_a_shipped_name(folder: Path) -> None:
    strict = Shelf(folder).load("strict").policy
    assert strict.actions[Severity.INTERVENTION] is Action.BLOCK


def test_by_name_and_by_path(folder: Path) -> None:
    shelf = Shelf(folder)
    assert shelf.load("mine").policy.chosen_by == "mine"
    by_path = shelf.load(str(folder / "mine.toml")).policy
    assert by_path.actions == shelf.load("mine").policy.actions
    assert by_path.chosen_by == str(folder / "mine.toml")


def test_no_such_policy(folder: Path) -> None:
    with pytest.raises(SettingsError, match="no policy 'mien'") as caught:
        Shelf(folder).load("mien")
    assert "Did you mean mine?" in caught.value.hint
    with pytest.raises(SettingsError, match=r"no policy file .*none\.toml"):
        Shelf(folder).load(str(folder / "none.toml"))


@pytest.mark.parametrize("content", [b"name = '\xff'", b"#" * 1_000_001])
def test_files_that_cannot_be_read(folder: Path, content: bytes) -> None:
    (folder / "bad.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.toml"):
        Shelf(folder).load("bad")
    (folder / "dir.toml").mkdir()
    with pytest.raises(SettingsError, match=r"dir\.toml"):
        Shelf(folder).load("dir")


def test_a_device_is_no_policy() -> None:
    with pytest.raises(SettingsError, match="/dev/zero"):
        Shelf().load("/dev/zero")


def test_a_policy_beside_the_settings_is_found_by_name(folder: Path) -> None:
    config = folder.parent / "settings.toml"
    config.write_text('[policy]\nprofile = "mine"\n[policy.levels]\nneeds_caution = "block"\n')
    flags = Flags(config=config)
    policy = build_policy(flags.settings(), flags.shelf())
    assert policy.name == "mine (changed)"
    assert policy.chosen_by == "mine"
    assert policy.actions[Severity.CAUTION] is Action.BLOCK


PERSONA = (
    LEVELS
    + """
[persona]
system_prompt = "You teach."
model = "teacher.gguf"

[persona.sampling]
temperature = 0.2
top_k = 5

[guard]
judge = "judge.gguf"
second = "embedded"
when = "flagged"
"""
)


def test_a_persona_fills_in_what_the_settings_leave(tmp_path: Path) -> None:
    profile = parse_profile(PERSONA, tmp_path / "mine.toml")
    settings = filled_in(Settings(sampling=Sampling(top_k=40)), profile)
    assert settings.chat.system_prompt == "You teach."
    assert settings.chat.model == str(tmp_path / "teacher.gguf")
    assert settings.guard.model == str(tmp_path / "judge.gguf")
    assert (settings.guard.second, settings.guard.when) == ("embedded", "flagged")
    assert settings.sampling.temperature == 0.2
    assert settings.sampling.top_k == 40


def test_what_the_user_said_comes_first(tmp_path: Path) -> None:
    profile = parse_profile(PERSONA, tmp_path / "mine.toml")
    said = Settings(chat=ChatSettings(model="my.gguf", system_prompt="Mine."))
    assert filled_in(said, profile).chat == said.chat


def test_a_flag_beats_the_policys_guard(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(PERSONA)
    named = Flags(policy=str(tmp_path / "mine.toml"), config=_empty(tmp_path))
    assert named.settings().guard.model == str(tmp_path / "judge.gguf")
    flagged = Flags(
        policy=str(tmp_path / "mine.toml"), guard="embedded", config=_empty(tmp_path)
    ).settings()
    assert flagged.guard.model == "embedded"


def _empty(folder: Path) -> Path:
    path = folder / "settings.toml"
    path.touch()
    return path
