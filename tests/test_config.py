"""Settings: the order of sources, and errors that name file, line and nearest key."""

from pathlib import Path

import pytest

from oa_chat.assembly import Flags, build_policy
from oa_chat.config import Settings, load_settings, parse_settings
from oa_chat.errors import SettingsError
from oa_chat.policy import Action
from oa_chat.strict_toml import line_of
from oa_chat.verdict import Severity

FILE = Path("settings.toml")


def refused(text: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, FILE)
    return caught.value


def test_no_file_is_all_defaults(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "none.toml", {})
    assert settings == Settings()
    assert build_policy(settings).name == "balanced"


def test_flags_beat_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[chat]\nmodel = "from-file"\ncontext = 2048\n[guard]\nmodel = "file-guard"\n'
        '[policy]\nprofile = "relaxed"\n'
    )
    monkeypatch.setenv("OA_CHAT_MODEL", "from-environment")
    monkeypatch.setenv("OA_CHAT_POLICY", "balanced")
    settings = Flags(config=path, policy="strict").settings()
    assert settings.chat.model == "from-environment"
    assert settings.chat.context == 2048
    assert settings.guard.model == "file-guard"
    assert build_policy(settings).name == "strict"


def test_levels_can_be_changed_one_by_one() -> None:
    text = '[policy]\nprofile = "relaxed"\n[policy.levels]\nneeds_caution = "confirm"\n'
    policy = build_policy(parse_settings(text, FILE))
    assert policy.actions[Severity.CAUTION] is Action.CONFIRM
    assert policy.actions[Severity.PROBABLY] is Action.PASS


@pytest.mark.parametrize(
    ("text", "line", "nearest"),
    [
        ("[guard]\n\nmodle = 'x'\n", 3, "guard.model"),
        ("[gaurd]\nmodel = 'x'\n", 1, "guard"),
        ("chat.modell = 'x'\n", 1, "chat.model"),
        ("[policy.levels]\n# a comment\nneed_caution = 'pass'\n", 3, "policy.levels.needs_caution"),
    ],
)
def test_an_unknown_key_names_its_line_and_the_nearest(text: str, line: int, nearest: str) -> None:
    error = refused(text)
    assert f"settings.toml, line {line}:" in error.message
    assert f"Did you mean {nearest}?" in error.hint


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("[chat]\nmodel = 'm'\nthreads = 'many'\n", 3, "chat.threads", "int"),
        ("[sampling]\ntemperature = 'warm'\n", 2, "sampling.temperature", "float"),
        ("[policy]\nprofile = 3\n", 2, "policy.profile", "str"),
        ("[policy.levels]\ncasual = 'hold'\n", 2, "policy.levels.casual", "pass, nudge"),
        ("[chat]\nmodel = ['a']\n", 2, "chat.model", "str"),
        ("guard = 3\n", 1, "guard", "object"),
        ("[chat]\ncontext = -5\n", 2, "chat.context", ">= 0"),
        ("[guard]\ntime_limit = 0\n", 2, "guard.time_limit", "> 0"),
        ("[sampling]\ntop_p = 2\n", 2, "sampling.top_p", "<= 1"),
    ],
)
def test_a_wrong_type_names_its_line_and_key(text: str, line: int, key: str, expected: str) -> None:
    error = refused(text)
    assert f"settings.toml, line {line}: {key}:" in error.message
    assert expected in f"{error.message} {error.hint}"


def test_broken_toml_names_the_line() -> None:
    assert "line 2" in refused("[chat]\nmodel = \n").message


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "latin.toml", {})


def test_a_wrong_flag_or_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="--policy: There is no policy 'stern'") as caught:
        Flags(policy="stern").settings()
    assert "relaxed, balanced, strict" in caught.value.hint
    monkeypatch.setenv("OA_CHAT_POLICY", "stritc")
    with pytest.raises(SettingsError, match="OA_CHAT_POLICY: There is no policy") as caught:
        Flags().settings()
    assert "Did you mean strict?" in caught.value.hint
    monkeypatch.delenv("OA_CHAT_POLICY")
    path = tmp_path / "settings.toml"
    path.write_text("[policy]\nprofile = 'stern'\n")
    with pytest.raises(SettingsError, match=r"settings\.toml, policy\.profile: There is no"):
        Flags(config=path).settings()


def test_a_named_file_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no settings file"):
        Flags(config=tmp_path / "none.toml").settings()
    monkeypatch.setenv("OA_CHAT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="no settings file"):
        Flags().settings()


def test_lines_are_found_in_what_people_write() -> None:
    text = 'a = 1\n[b]\n c = 2\n[b.d]\n"e" = 3\n[f]\n'
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("b", "c")) == 3
    assert line_of(text, ("b", "d", "e")) == 5
    assert line_of(text, ("f",)) == 6
    assert line_of(text, ("g",)) is None
