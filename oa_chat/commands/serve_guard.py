"""`oa-chat serve-guard`: the guard as a service on this machine, for other programs."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oa_chat.errors import UsageError

if TYPE_CHECKING:
    from oa_chat.config import Settings
    from oa_chat.engine.places import Places
    from oa_chat.policy import Policy
    from oa_chat.serving.app import ServiceSetup
    from oa_chat.serving.door import Entry
    from oa_chat.serving.forwarding import ChatTarget

TOKEN_VARIABLE = "OA_CHAT_SERVE_TOKEN"
KEY_VARIABLE = "OA_CHAT_UPSTREAM_KEY"
_SHORTEST_TOKEN = 16
_PORT = 8642
_SHARED = (
    "model",
    "guard",
    "guard_family",
    "second_guard",
    "policy",
    "context",
    "gpu_layers",
    "config",
)
"""Options that also stand before the command's name."""


@click.command("serve-guard")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_PORT,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help=f"File with the token that clients must send; or set {TOKEN_VARIABLE}.",
)
@click.option("--upstream", metavar="URL", help="Forward to this OpenAI-compatible server.")
@click.option("--model", metavar="PATH", help='Chat model: a GGUF file, or "starter".')
@click.option("--guard", metavar="PATH", help='Guard: a GGUF file, or "embedded".')
@click.option("--guard-family", metavar="NAME", help="How to ask the guard, if not detected.")
@click.option("--second-guard", metavar="PATH", help="Guard for what the first is unsure of.")
@click.option("--policy", metavar="NAME", help="A policy's name, or a policy file.")
@click.option("--context", type=click.IntRange(min=0), help="Context of the chat model, tokens.")
@click.option("--gpu-layers", type=click.IntRange(min=-1), help="Layers on the GPU; -1: auto.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def serve_guard(
    context: click.Context,
    /,
    host: str,
    port: int,
    token_file: Path | None,
    upstream: str | None,
    **said: Any,
) -> None:
    """Serve moderations and guarded chat completions in OpenAI's shapes.

    Other programs on this machine point their OpenAI client at http://127.0.0.1:8642/v1. Nothing is
    stored. Ends with Ctrl+C.
    """
    import asyncio

    from oa_chat.assembly import Flags, build_policy

    before = context.parent.params if context.parent else {}
    chosen: dict[str, Any] = {
        name: before.get(name) if said[name] is None else said[name] for name in _SHARED
    }
    if upstream is not None and said["model"] is not None:
        raise UsageError("--model and --upstream exclude each other: who is to reply?")
    token = _token(token_file)
    _require_stack()
    from oa_chat.serving.app import build_app
    from oa_chat.serving.listener import address_of, open_socket, serve

    address = address_of(host, port, token=bool(token))
    flags = Flags(**chosen)
    settings = flags.settings()
    policy = build_policy(settings, flags.shelf())
    _log_to_stderr(debug=said["debug"] or bool(before.get("debug")))
    entry = _entry(token, address.host, loopback=address.loopback)

    async def run() -> None:
        app = build_app(_setup(settings, policy, upstream, entry))
        with open_socket(address) as opened:
            shown = f"[{address.host}]" if ":" in address.host else address.host
            place = f"http://{shown}:{opened.getsockname()[1]}/v1"
            logging.getLogger("oa_chat.serving").info("Listening on %s (Ctrl+C ends it)", place)
            await serve(app, opened)

    asyncio.run(run())


def _setup(settings: Settings, policy: Policy, upstream: str | None, entry: Entry) -> ServiceSetup:
    from oa_chat.assembly import build_guard, build_places, build_reply_rules
    from oa_chat.commands.help import help_lines
    from oa_chat.serving.app import ServiceSetup
    from oa_chat.serving.check_queue import QueueLimits

    places = build_places(settings, chat=upstream is None)
    guard = build_guard(settings, places)
    if guard is None:
        raise UsageError("There is nothing to serve: the guard is none.", "Name a --guard.")
    return ServiceSetup(
        guard=guard,
        target=_target(settings, upstream, places),
        policy=policy,
        replies=build_reply_rules(settings),
        help_lines=lambda: help_lines(settings),
        entry=entry,
        limits=QueueLimits(wait=2 * settings.guard.time_limit),
    )


def _target(settings: Settings, upstream: str | None, places: Places) -> ChatTarget:
    from oa_chat import catalog
    from oa_chat.assembly import build_chat
    from oa_chat.serving.local_model import LocalModel
    from oa_chat.serving.upstream import Upstream

    if upstream is not None:
        return Upstream(upstream, os.environ.get(KEY_VARIABLE, ""))
    return LocalModel(
        build_chat(settings, places), catalog.title_of(settings.chat.model), settings.sampling
    )


def _entry(token: str, host: str, *, loopback: bool) -> Entry:
    """Beyond loopback a server has names that it cannot know; the token keeps others out there."""
    from oa_chat.serving.door import Entry

    hosts = frozenset({"127.0.0.1", "::1", "localhost", host}) if loopback else frozenset[str]()
    return Entry(token, hosts)


def _token(path: Path | None) -> str:
    """The token of the file, else of the environment, else none. Raises UsageError."""
    where = f"the file {path}" if path else TOKEN_VARIABLE
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            return ""
    else:
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The token file {path} cannot be read: {error}.") from error
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise UsageError(
            f"The token in {where} is not one: it needs at least {_SHORTEST_TOKEN} plain characters"
            " on one line.",
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


def _require_stack() -> None:
    try:
        import httpx2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"serve-guard needs a package that is not installed: {error.name}.",
            "Install what it needs: pip install 'oa-chat[serve]'",
        ) from error


def _log_to_stderr(*, debug: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("oa_chat.serving")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
