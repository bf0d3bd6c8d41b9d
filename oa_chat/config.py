"""Settings: defaults, then the TOML file, then the environment, then flags.

The file is checked as a whole, strictly: an unknown key or a wrong type is an error that names the
file, the line and the nearest key. This module opens settings alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import platformdirs

from oa_chat.errors import SettingsError
from oa_chat.folders import APP, data_dir
from oa_chat.policy import DEFAULT_PROFILE, Action
from oa_chat.reply_rules import ReplyMode, ReplyRules
from oa_chat.sampling import Sampling
from oa_chat.strict_toml import TomlKind, reason_of
from oa_chat.verdict import Severity

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Layers = Annotated[int, msgspec.Meta(ge=-1)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Device = Literal["auto", "cpu", "gpu"]
LevelAction = Literal["pass", "nudge", "confirm", "block"]
LevelName = Literal[
    "possibly_needs_caution", "probably_needs_caution", "needs_caution", "needs_intervention"
]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the file's tables."""


class ChatSettings(_Section, frozen=True):
    """`[chat]`: the model that replies."""

    model: str = "starter"
    """"starter", another name that `oa_chat.catalog` knows, or the path of a GGUF file."""
    system_prompt: str = ""
    context: _Count = 0
    """Tokens; 0 is what the model was trained with, up to 8,192."""
    gpu_layers: _Layers = -1
    """-1 is as many as fit."""
    device: Device = "auto"
    """"cpu" and "gpu" force; "auto" goes by what fits."""
    threads: _Count = 0
    """0 chooses by the model's size."""


class GuardSettings(_Section, frozen=True):
    """`[guard]`: the model that judges."""

    model: str = "embedded"
    """"embedded", "none", another name that `oa_chat.catalog` knows, or the path of a GGUF file."""
    family: str = ""
    """Empty detects it from the file."""
    second: str = ""
    """A second guard, named like `model`, for what `when` says; empty or "none" is none."""
    second_family: str = ""
    when: Literal["unsure", "flagged", "always"] = "unsure"
    """What the second guard reads: see `oa_chat.guards.stages`."""
    unsure_between: tuple[_Share, _Share] = (0.1, 0.9)
    """The first guard is unsure where its probability of "casual" lies in here."""
    rule_author: Literal["rulebook", "writer"] = "rulebook"
    rules: str = ""
    """A file with rules of your own."""
    time_limit: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds that a check may take, for each guard."""
    gpu_layers: _Layers = -1
    device: Device = "auto"
    """As for the chat model, for both guards."""
    threads: _Count = 0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.unsure_between[0] > self.unsure_between[1]:
            raise ValueError("unsure_between has the larger number first")


class LevelSettings(_Section, frozen=True):
    """`[policy.levels]`: actions for single levels."""

    casual: LevelAction | None = None
    possibly_needs_caution: LevelAction | None = None
    probably_needs_caution: LevelAction | None = None
    needs_caution: LevelAction | None = None
    needs_intervention: LevelAction | None = None


class PolicySettings(_Section, frozen=True):
    """`[policy]`: what is done about a flag."""

    profile: str = DEFAULT_PROFILE
    """"relaxed", "balanced", "strict", the name of a policy of your own, or a policy file."""
    levels: LevelSettings = LevelSettings()

    def overrides(self) -> dict[Severity, Action]:
        """The levels that were changed."""
        return {
            level: Action(action)
            for level in Severity
            if (action := getattr(self.levels, level.label.strip("_"))) is not None
        }


class ReplySettings(_Section, frozen=True):
    """`[replies]`: how replies are judged while they stream."""

    mode: Literal["", "strict", "balanced", "note", "off"] = ""
    """Empty is what the policy says."""
    act_from: LevelName = "needs_caution"
    """The lowest level that acts on a reply; lower ones are noted."""
    certainty: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """How sure a guard with probabilities has to be, 0 to 1. None goes by the guard's family."""

    def rules(self, certainty: float) -> ReplyRules:
        """The rules for replies; `certainty` is the guard's own, where the settings say none."""
        return ReplyRules(
            mode=ReplyMode(self.mode) if self.mode else None,
            act_from=Severity.from_label(f"__{self.act_from}__"),
            certainty=certainty if self.certainty is None else self.certainty,
        )


class HelpSettings(_Section, frozen=True):
    """`[help]`: where a person can get help."""

    country: str = ""
    """Two letters, such as "DE". Empty goes by the locale."""


class ModelsSettings(_Section, frozen=True):
    """`[models]`: downloading models."""

    offline: bool = False
    """Download nothing; HF_HUB_OFFLINE says the same."""


class Settings(_Section, frozen=True):
    """Everything in the settings file."""

    chat: ChatSettings = ChatSettings()
    sampling: Sampling = Sampling()
    """`[sampling]`: what is left out is as the model's file says."""
    guard: GuardSettings = GuardSettings()
    policy: PolicySettings = PolicySettings()
    replies: ReplySettings = ReplySettings()
    help: HelpSettings = HelpSettings()
    models: ModelsSettings = ModelsSettings()


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The settings file: OA_CHAT_CONFIG, else the platform's place for it."""
    named = environment.get("OA_CHAT_CONFIG")
    return Path(named) if named else platformdirs.user_config_path(APP) / "settings.toml"


def store_path(folder: Path | None = None) -> Path:
    """The file of the conversations, in a data directory that was named or in the usual one."""
    return (folder or data_dir()) / "conversations.sqlite3"


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


_FILE = TomlKind(Settings, "settings file", "setting", SettingsError)


def parse_settings(text: str, path: Path) -> Settings:
    """The settings in a TOML text; `path` is for messages. Raises SettingsError."""
    return _FILE.parse(text, path)


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
        reason, _ = reason_of(error)
        allowed = _FILE.allowed((section, key))
        raise SettingsError(f"{source}: {reason}. {allowed}".strip()) from error
