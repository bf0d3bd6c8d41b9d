"""Settings: defaults, then the TOML file, then the environment, then flags.

The file is checked as a whole, strictly: an unknown key or a wrong type is an error that names the
file, the line and the nearest key. This module decides where files lie; it opens only settings.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
import platformdirs

from oa_chat.errors import SettingsError
from oa_chat.policy import DEFAULT_PROFILE, PROFILES, Action, Policy
from oa_chat.sampling import Sampling
from oa_chat.verdict import Severity

APP = "oa-chat"
Profile = Literal["relaxed", "balanced", "strict"]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Layers = Annotated[int, msgspec.Meta(ge=-1)]
LevelAction = Literal["pass", "nudge", "confirm", "block"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the file's tables."""


class ChatSettings(_Section, frozen=True):
    """`[chat]`: the model that replies."""

    model: str = "starter"
    """"starter" or the path of a GGUF file."""
    system_prompt: str = ""
    context: _Count = 0
    """Tokens; 0 is what the model was trained with, up to 8,192."""
    gpu_layers: _Layers = -1
    """-1 is as many as fit."""
    threads: _Count = 0
    """0 chooses by the model's size."""


class GuardSettings(_Section, frozen=True):
    """`[guard]`: the model that judges."""

    model: str = "embedded"
    """"embedded", "none", or the path of a GGUF file."""
    family: str = ""
    """Empty detects it from the file."""
    rule_author: Literal["rulebook", "writer"] = "rulebook"
    rules: str = ""
    """A file with rules of your own."""
    time_limit: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds that a check may take."""
    gpu_layers: _Layers = -1
    threads: _Count = 0


class LevelSettings(_Section, frozen=True):
    """`[policy.levels]`: actions for single levels."""

    casual: LevelAction | None = None
    possibly_needs_caution: LevelAction | None = None
    probably_needs_caution: LevelAction | None = None
    needs_caution: LevelAction | None = None
    needs_intervention: LevelAction | None = None


class PolicySettings(_Section, frozen=True):
    """`[policy]`: what is done about a flag."""

    profile: Profile = DEFAULT_PROFILE  # type: ignore[assignment]
    levels: LevelSettings = LevelSettings()

    def overrides(self) -> dict[Severity, Action]:
        """The levels that were changed."""
        return {
            level: Action(action)
            for level in Severity
            if (action := getattr(self.levels, level.label.strip("_"))) is not None
        }

    def policy(self) -> Policy:
        """The profile with the levels that were changed."""
        return PROFILES[self.profile].with_overrides(self.overrides())


class HelpSettings(_Section, frozen=True):
    """`[help]`: where a person can get help."""

    country: str = ""
    """Two letters, such as "DE". Empty goes by the locale."""


class Settings(_Section, frozen=True):
    """Everything in the settings file."""

    chat: ChatSettings = ChatSettings()
    sampling: Sampling = Sampling()
    """`[sampling]`: what is left out is as the model's file says."""
    guard: GuardSettings = GuardSettings()
    policy: PolicySettings = PolicySettings()
    help: HelpSettings = HelpSettings()


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The settings file: OA_CHAT_CONFIG, else the platform's place for it."""
    named = environment.get("OA_CHAT_CONFIG")
    return Path(named) if named else platformdirs.user_config_path(APP) / "settings.toml"


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where conversations are kept: OA_CHAT_DATA_DIR, else the platform's place for it."""
    named = environment.get("OA_CHAT_DATA_DIR")
    return Path(named) if named else platformdirs.user_data_path(APP)


def load_settings(
    path: Path, environment: Mapping[str, str] = os.environ, *, named: bool = False
) -> Settings:
    """The settings of a file and the environment.

    A file that does not exist is empty, unless the user named it. Raises SettingsError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if named:
            hint = "Correct --config or OA_CHAT_CONFIG, or leave it out for the usual place."
            raise SettingsError(f"There is no settings file {path}.", hint) from error
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from error
    return _with_environment(parse_settings(text, path), environment)


def parse_settings(text: str, path: Path) -> Settings:
    """The settings in a TOML text; `path` is for messages. Raises SettingsError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"The settings file {path} is not valid TOML: {error}.", "Correct that line."
        ) from error
    _refuse_unknown(tables, Settings, (), text, path)
    try:
        return msgspec.convert(tables, Settings)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at ")
        keys = tuple(re.findall(r"\w+", where))
        raise SettingsError(
            f"{_place(path, text, keys)}: {'.'.join(keys) or 'the file'}: {reason}.",
            _allowed(keys) + "Correct the value, or take the line out to use the default.",
        ) from error


def _allowed(keys: tuple[str, ...]) -> str:
    """The values that a setting can have, where they are a closed list."""
    kind: Any = Settings
    for key in keys:
        kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
    values = [value for part in (kind, *get_args(kind)) for value in get_args(part)]
    words = [value for value in values if isinstance(value, str)]
    return f"It can be {', '.join(words)}. " if words else ""


def _refuse_unknown(
    table: Mapping[str, Any],
    section: type[msgspec.Struct],
    above: tuple[str, ...],
    text: str,
    path: Path,
) -> None:
    hints = get_type_hints(section)
    for key, value in table.items():
        keys = (*above, key)
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
            hint = f"Did you mean {'.'.join((*above, near[0]))}?" if near else ""
            known = f"Known here: {', '.join(hints)}."
            raise SettingsError(
                f"{_place(path, text, keys)}: there is no setting {'.'.join(keys)}.",
                f"{hint} {known}".strip(),
            )
        inner = hints[key]
        if (
            isinstance(value, dict)
            and isinstance(inner, type)
            and issubclass(inner, msgspec.Struct)
        ):
            _refuse_unknown(value, inner, keys, text, path)


def _place(path: Path, text: str, keys: tuple[str, ...]) -> str:
    line = line_of(text, keys)
    return f"{path}, line {line}" if line else str(path)


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """The number of the line where a key (or its table) stands, if it can be told.

    tomllib gives no positions; this reads plain `[table]` and `key = value` lines, which is what
    people write.
    """
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            table = _dotted(header[1])
            if table == keys:
                return number
            continue
        assignment = re.match(r"\s*([\w\-.\"' ]+?)\s*=", line)
        if assignment and (*table, *_dotted(assignment[1]))[: len(keys)] == keys:
            return number
    return None


def _dotted(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


_ENVIRONMENT = {
    "OA_CHAT_MODEL": ("chat", "model"),
    "OA_CHAT_GUARD": ("guard", "model"),
    "OA_CHAT_POLICY": ("policy", "profile"),
}
"""Variables that stand for a setting."""


def _with_environment(settings: Settings, environment: Mapping[str, str]) -> Settings:
    for variable, (section, key) in _ENVIRONMENT.items():
        value = environment.get(variable)
        if value:
            settings = override(settings, section, key, value, source=variable)
    return settings


def override(settings: Settings, section: str, key: str, value: object, source: str) -> Settings:
    """The settings with one value changed, checked as in the file. `source` is for messages."""
    table = msgspec.to_builtins(settings)
    table[section][key] = value
    try:
        return msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at ")[0]
        raise SettingsError(f"{source}: {reason}. {_allowed((section, key))}".strip()) from error
