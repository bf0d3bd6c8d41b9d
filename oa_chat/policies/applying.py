"""What a policy file says about guard and persona, taken into the settings.

What a person set comes first: a policy fills in what the settings leave as it ships. Only a start
does this; changing the policy in a running chat changes what is decided, not who judges or replies.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from oa_chat.catalog import has_source
from oa_chat.config import ChatSettings, GuardSettings, Settings
from oa_chat.policies.file import Profile
from oa_chat.sampling import Sampling

_CHAT = ChatSettings()
_GUARD = GuardSettings()


def filled_in(settings: Settings, profile: Profile) -> Settings:
    """The settings with what the policy names where they are still as they ship."""
    return msgspec.structs.replace(
        settings,
        chat=_chat(settings.chat, profile),
        guard=_guard(settings.guard, profile),
        sampling=_sampling(settings.sampling, profile.file.persona.sampling),
    )


def model_beside(profile: Profile, model: str) -> str:
    """A model that a policy names: a relative path starts at the policy's file."""
    if has_source(model):
        return model
    path = Path(model).expanduser()
    is_name = path.name == model and path.suffix != ".gguf"
    return model if is_name else str(profile.path.parent / path)


def _chat(said: ChatSettings, profile: Profile) -> ChatSettings:
    persona = profile.file.persona
    named = persona.model and said.model == _CHAT.model
    model = model_beside(profile, persona.model) if named else said.model
    prompt = said.system_prompt or persona.system_prompt
    return msgspec.structs.replace(said, model=model, system_prompt=prompt)


def _guard(said: GuardSettings, profile: Profile) -> GuardSettings:
    choice = profile.file.guard
    if choice.judge and said.model == _GUARD.model:
        said = msgspec.structs.replace(said, model=model_beside(profile, choice.judge))
    if choice.second and said.second == _GUARD.second:
        second = model_beside(profile, choice.second)
        said = msgspec.structs.replace(said, second=second, when=choice.when)
    return said


def _sampling(said: Sampling, persona: Sampling) -> Sampling:
    unsaid = {
        name: value
        for name, value in msgspec.structs.asdict(persona).items()
        if getattr(said, name) is None
    }
    return msgspec.structs.replace(said, **unsaid)
