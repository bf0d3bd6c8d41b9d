"""Puts the parts together: settings in, a session or a guard out.

Model files are looked at (headers only) before any process starts, so that a wrong file is a clear
error at once. Nothing is loaded here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from oa_chat import catalog
from oa_chat.config import Settings, config_path, load_settings, override, store_path
from oa_chat.conversation import Conversation
from oa_chat.engine.gguf_header import require_kind
from oa_chat.engine.process import Engine
from oa_chat.errors import SettingsError
from oa_chat.guards.authors import RuleAuthor, RulebookAuthor, WriterAuthor
from oa_chat.guards.guard import Guard, GuardLimits, LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.policies.applying import filled_in
from oa_chat.policies.shelf import Shelf
from oa_chat.policy import Policy
from oa_chat.reply_rules import SURE_ANYWAY, SURE_OF_REPLIES
from oa_chat.rulebook import Rulebook
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store

NO_GUARD = "none"


@dataclass(frozen=True, slots=True)
class Flags:
    """What was said on the command line. None is "not said"."""

    model: str | None = None
    guard: str | None = None
    guard_family: str | None = None
    policy: str | None = None
    context: int | None = None
    gpu_layers: int | None = None
    config: Path | None = None
    data_dir: Path | None = None
    debug: bool = False

    def settings(self) -> Settings:
        """Defaults, then the policy's, then the file, then the environment, then these flags."""
        named = self.config is not None or "OA_CHAT_CONFIG" in os.environ
        settings = load_settings(self.config or config_path(), named=named)
        settings = self._with_policy(settings)
        said = (
            ("chat", "model", self.model, "--model"),
            ("chat", "context", self.context, "--context"),
            ("chat", "gpu_layers", self.gpu_layers, "--gpu-layers"),
            ("guard", "gpu_layers", self.gpu_layers, "--gpu-layers"),
            ("guard", "model", self.guard, "--guard"),
            ("guard", "family", self.guard_family, "--guard-family"),
        )
        for section, key, value, flag in said:
            if value is not None:
                settings = override(settings, section, key, value, source=flag)
        return settings

    def store_path(self) -> Path:
        """The file of the conversations."""
        return store_path(self.data_dir)

    def shelf(self) -> Shelf:
        """The policies within reach: the user's own lie beside the settings file."""
        return _shelf(self.config)

    def _with_policy(self, settings: Settings) -> Settings:
        """The settings with the policy that counts, and with what that one fills in."""
        if self.policy is not None:
            settings = override(settings, "policy", "profile", self.policy, source="--policy")
        try:
            profile = self.shelf().load(settings.policy.profile)
        except SettingsError as error:
            raise SettingsError(f"{self._policy_source()}: {error.message}", error.hint) from error
        return filled_in(settings, profile)

    def _policy_source(self) -> str:
        """Who named the policy, for messages."""
        if self.policy is not None:
            return "--policy"
        if os.environ.get("OA_CHAT_POLICY"):
            return "OA_CHAT_POLICY"
        return f"{self.config or config_path()}, policy.profile"


def _shelf(config: Path | None = None) -> Shelf:
    return Shelf((config or config_path()).parent / "policies")


def build_policy(settings: Settings, shelf: Shelf | None = None) -> Policy:
    """The policy of the settings, with the levels that they change. Raises SettingsError."""
    profile = (shelf or _shelf()).load(settings.policy.profile)
    return profile.policy.with_overrides(settings.policy.overrides())


def build_guard(settings: Settings) -> Guard | None:
    """The guard of the settings; None if they want none. Raises ModelError and others."""
    wanted = settings.guard
    if wanted.model == NO_GUARD:
        return None
    path = catalog.path_of(wanted.model)
    found = identify(path, wanted.family)
    engine = Engine(path, found.family.kind, gpu_layers=wanted.gpu_layers, threads=wanted.threads)
    limits = GuardLimits(check=wanted.time_limit)
    name = catalog.title_of(wanted.model)
    author = build_author(settings)
    return LocalGuard(name, engine, found.family, author, limits, found.languages)


def _certainty(settings: Settings) -> float:
    """How sure the guard of the settings has to be of a flag on a reply."""
    wanted = settings.guard
    if wanted.model == NO_GUARD:
        return SURE_ANYWAY
    family = identify(catalog.path_of(wanted.model), wanted.family).family.name
    return SURE_OF_REPLIES.get(family, SURE_ANYWAY)


def build_author(settings: Settings) -> RuleAuthor:
    """Who writes rules for a guard that writes none."""
    rulebook = build_rulebook(settings)
    if settings.guard.rule_author == "rulebook":
        return rulebook
    writer = Engine(catalog.embedded_path(catalog.RULE_WRITER), "causal", gpu_layers=0)
    return WriterAuthor(writer, rulebook)


def build_rulebook(settings: Settings) -> RulebookAuthor:
    """The shipped rules, and the user's own if the settings name a file."""
    own = Path(settings.guard.rules).expanduser() if settings.guard.rules else None
    # The user's own file is read now, so that a mistake in it is an error at once.
    opened = Rulebook.load(own) if own else None
    return RulebookAuthor(lambda: opened or Rulebook.load())


def build_chat(settings: Settings) -> Engine:
    """The chat model of the settings."""
    path = catalog.path_of(settings.chat.model)
    require_kind(path, "causal", "chat model")
    return Engine(
        path,
        "causal",
        context=settings.chat.context,
        gpu_layers=settings.chat.gpu_layers,
        threads=settings.chat.threads,
    )


def build_session(
    settings: Settings, store_path: Path, *, resume: bool = False, shelf: Shelf | None = None
) -> ChatSession:
    """A session on the stored conversations, with nothing loaded yet."""
    policies = shelf or _shelf()
    policy = build_policy(settings, policies)
    chat = build_chat(settings)
    guard = build_guard(settings)
    store = Store(store_path)
    conversation: Conversation | None = store.last_conversation() if resume else None
    setup = ChatSetup(
        chat=chat,
        chat_name=catalog.title_of(settings.chat.model),
        guard=guard,
        store=store,
        policy=policy,
        overrides=settings.policy.overrides(),
        replies=settings.replies.rules(_certainty(settings)),
        policies=policies,
        sampling=settings.sampling,
        system_prompt=settings.chat.system_prompt,
        starter=settings.chat.model == catalog.STARTER.name,
    )
    return ChatSession(setup, conversation)
