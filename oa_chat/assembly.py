"""Puts the parts together: settings in, a session or a guard out.

Model files are looked at (headers only) before any process starts, so that a wrong file is a clear
error at once. Nothing is loaded here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oa_chat import catalog
from oa_chat.config import Settings, config_path, load_settings, override, store_path
from oa_chat.conversation import Conversation
from oa_chat.engine.gguf_header import read_header, require_kind
from oa_chat.engine.places import Places
from oa_chat.engine.placing import Wanted, wanted_of
from oa_chat.engine.process import Engine
from oa_chat.errors import SettingsError
from oa_chat.guards.authors import RuleAuthor, RulebookAuthor, WriterAuthor
from oa_chat.guards.guard import Guard, GuardLimits, LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.guards.stages import StagedGuard, Staging
from oa_chat.policies.applying import filled_in
from oa_chat.policies.shelf import Shelf
from oa_chat.policy import Policy
from oa_chat.reply_rules import SURE_ANYWAY, SURE_OF_REPLIES, ReplyRules
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
    second_guard: str | None = None
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
            ("guard", "second", self.second_guard, "--second-guard"),
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


def build_guard(settings: Settings, places: Places | None = None) -> Guard | None:
    """The guard of the settings, or two as one; None if they want none.

    Without `places` the guards are alone on this machine. Raises ModelError and others.
    """
    chosen = list(_guards(settings))
    if not chosen:
        return None
    author = build_author(settings)
    places = places or build_places(settings, chat=False)
    first, *more = [_local_guard(settings, *one, author, places) for one in chosen]
    wanted = settings.guard
    staging = Staging(wanted.when, wanted.unsure_between)
    return StagedGuard(first, more[0], staging) if more else first


def _guards(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Part, name and family of each guard that the settings want. Raises SettingsError."""
    wanted = settings.guard
    if wanted.model == NO_GUARD:
        return
    first, second = (wanted.model, wanted.family), (wanted.second, wanted.second_family)
    yield ("guard", *first)
    if wanted.second in ("", NO_GUARD):
        return
    if first == second:
        raise SettingsError(
            f"guard.second is the same guard as guard.model: {wanted.second}.",
            "Name another one, or leave the second one out.",
        )
    yield ("second guard", *second)


def _local_guard(
    settings: Settings, part: str, model: str, family: str, author: RuleAuthor, places: Places
) -> LocalGuard:
    path = catalog.path_of(model)
    found = identify(path, family)
    wanted = settings.guard
    layers = partial(places.layers, part, wanted.device, wanted.gpu_layers)
    engine = Engine(path, found.family.kind, gpu_layers=layers, threads=wanted.threads)
    limits = GuardLimits(check=wanted.time_limit)
    return LocalGuard(
        catalog.title_of(model), engine, found.family, author, limits, found.languages
    )


def build_places(settings: Settings, *, chat: bool = True) -> Places:
    """Where the models of the settings go; `chat` says whether the chat model runs as well."""
    return Places(lambda: wanted_models(settings, chat=chat))


def wanted_models(settings: Settings, *, chat: bool = True) -> list[Wanted]:
    """The models of the settings in the order in which they choose a place. Reads headers."""
    models = []
    said, guard = settings.chat, settings.guard
    if chat:
        header = read_header(catalog.path_of(said.model))
        models.append(wanted_of("chat", header, said.context, said.device, said.gpu_layers))
    for part, name, _ in _guards(settings):
        header = read_header(catalog.path_of(name))
        models.append(wanted_of(part, header, 0, guard.device, guard.gpu_layers))
    return models


def _certainty(settings: Settings) -> float:
    """How sure the guard of the settings has to be of a flag on a reply; of two the stricter."""
    found = [identify(catalog.path_of(name), family) for _, name, family in _guards(settings)]
    sure = [SURE_OF_REPLIES.get(one.family.name, SURE_ANYWAY) for one in found]
    return min(sure, default=SURE_ANYWAY)


def build_reply_rules(settings: Settings) -> ReplyRules:
    """How replies are judged, with the certainty that suits the guard."""
    return settings.replies.rules(_certainty(settings))


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


def build_chat(settings: Settings, places: Places | None = None) -> Engine:
    """The chat model of the settings."""
    path = catalog.path_of(settings.chat.model)
    require_kind(path, "causal", "chat model")
    places = places or build_places(settings)
    wanted = settings.chat
    return Engine(
        path,
        "causal",
        context=wanted.context,
        gpu_layers=partial(places.layers, "chat", wanted.device, wanted.gpu_layers),
        threads=wanted.threads,
    )


def build_session(
    settings: Settings, store_path: Path, *, resume: bool = False, shelf: Shelf | None = None
) -> ChatSession:
    """A session on the stored conversations, with nothing loaded yet."""
    policies = shelf or _shelf()
    policy = build_policy(settings, policies)
    places = build_places(settings)
    chat = build_chat(settings, places)
    guard = build_guard(settings, places)
    store = Store(store_path)
    conversation: Conversation | None = store.last_conversation() if resume else None
    setup = ChatSetup(
        chat=chat,
        chat_name=catalog.title_of(settings.chat.model),
        guard=guard,
        store=store,
        policy=policy,
        overrides=settings.policy.overrides(),
        replies=build_reply_rules(settings),
        policies=policies,
        sampling=settings.sampling,
        system_prompt=settings.chat.system_prompt,
        starter=settings.chat.model == catalog.STARTER.name,
    )
    return ChatSession(setup, conversation)
