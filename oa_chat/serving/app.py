"""The service: its endpoints, what they share, and their start and end.

`/v1/moderations` only judges; `/v1/chat/completions` judges, and forwards what may go;
`/v1/models` and `/health` say what there is and whether it works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from oa_chat.conversation import Message
from oa_chat.errors import OaChatError
from oa_chat.guards.guard import Guard
from oa_chat.policy import Policy
from oa_chat.reply_rules import ReplyRules
from oa_chat.serving import answers
from oa_chat.serving.asked import read_moderation
from oa_chat.serving.check_queue import CheckQueue, QueueLimits
from oa_chat.serving.completions import Completions, HelpLines
from oa_chat.serving.connection import read_json_body, while_connected
from oa_chat.serving.door import Door, Entry
from oa_chat.serving.forwarding import ChatTarget
from oa_chat.serving.judging import Judge
from oa_chat.serving.refusal import HttpRefusal, as_refusal, error_body
from oa_chat.serving.replies import QueuedGuard, Replies


@dataclass(frozen=True, slots=True)
class ServiceSetup:
    """What the service is put together from."""

    guard: Guard
    target: ChatTarget
    policy: Policy
    replies: ReplyRules = field(default_factory=ReplyRules)
    help_lines: HelpLines = tuple
    entry: Entry = field(default_factory=Entry)
    limits: QueueLimits = field(default_factory=QueueLimits)


def build_app(setup: ServiceSetup) -> ASGIApp:
    """The service as an ASGI application. It loads nothing before its start."""
    service = _Service(setup)
    replies = Replies(setup.target, service.queued_guard, setup.policy, setup.replies)
    completions = Completions(service.judge, replies, setup.help_lines)
    routes = [
        Route("/health", service.health, methods=["GET"]),
        Route("/v1/models", service.models, methods=["GET"]),
        Route("/v1/moderations", service.moderations, methods=["POST"]),
        Route("/v1/chat/completions", completions.answer, methods=["POST"]),
    ]
    handlers: Any = {OaChatError: _refused, HTTPException: _not_here}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=service.lifespan)
    return Door(app, setup.entry)


class _Service:
    def __init__(self, setup: ServiceSetup) -> None:
        self._setup = setup
        self._checks = CheckQueue(setup.guard, setup.limits)
        self._failure = ""
        self.queued_guard = QueuedGuard(setup.guard, self._checks)
        self.judge = Judge(self._checks, setup.policy)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the queue and load the models meanwhile; end them with the service."""
        tasks = [asyncio.create_task(self._checks.run()), asyncio.create_task(self._load())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            closing = [self._setup.guard.close(), self._setup.target.close()]
            await asyncio.gather(*tasks, *closing, return_exceptions=True)

    async def _load(self) -> None:
        """Load ahead of the first request. What fails here fails again, and is told, when asked."""
        try:
            await asyncio.gather(self._setup.guard.load(), self._setup.target.load())
        except OaChatError as error:
            self._failure = error.message

    async def health(self, _request: Request) -> Response:
        """Ready (200) or not (503), and how much waits."""
        setup = self._setup
        ready = setup.guard.info is not None and setup.target.ready
        body = {
            "status": "ok" if ready else "not ready",
            "ready": ready,
            "queue": {"checks": self._checks.waiting, "replies": setup.target.waiting},
            "guard": setup.guard.name,
            "policy": setup.policy.name,
            "failure": "" if ready else self._failure,
        }
        return _json(body, 200 if ready else 503)

    async def models(self, request: Request) -> Response:
        """The names to ask for: chat models, and the guard for moderations."""
        names = await while_connected(request.receive, self._setup.target.models())
        owners = dict.fromkeys(names, "chat") | {self._setup.guard.name: "guard"}
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": f"oa-chat {kind}"}
            for name, kind in owners.items()
        ]
        return _json({"object": "list", "data": data})

    async def moderations(self, request: Request) -> Response:
        """One result for each text."""
        texts = read_moderation(await read_json_body(request))
        conversations: Sequence[Sequence[Message]] = [[Message("user", text)] for text in texts]
        checks = self._checks.check_all(conversations)
        verdicts = await while_connected(request.receive, checks)
        setup = self._setup
        return _json(answers.moderation(texts, verdicts, setup.policy, setup.guard.name))


async def _refused(_request: Request, error: Exception) -> Response:
    return _error(as_refusal(error))


async def _not_here(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    said = "There is no such address." if error.status_code == 404 else error.detail
    return _error(HttpRefusal(error.status_code, said, headers=headers))


def _error(refusal: HttpRefusal) -> Response:
    return _json(error_body(refusal), refusal.status, refusal.headers)


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    data = msgspec.json.encode(body)
    return Response(data, status, headers, media_type="application/json")
