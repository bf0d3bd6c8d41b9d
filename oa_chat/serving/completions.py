"""`POST /v1/chat/completions`: judged, decided, nudged, forwarded, streamed.

The client cannot be asked anything, so whatever is not a pass or a nudge is a refusal: a completion
that says why, with the finish reason "content_filter". An error before the first piece is an HTTP
error, one after it an event in the stream.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from oa_chat.errors import OaChatError
from oa_chat.serving.answers import Completion, explanation
from oa_chat.serving.asked import ChatAsked, read_chat
from oa_chat.serving.connection import ClientGone, read_json_body, while_connected
from oa_chat.serving.forwarding import Ended, Said, Usage
from oa_chat.serving.judging import Judge, Judgement
from oa_chat.serving.refusal import as_refusal, error_body
from oa_chat.serving.replies import Replies

HelpLines = Callable[[], Sequence[str]]
_DONE = b"data: [DONE]\n\n"
_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]


class Completions:
    """The endpoint."""

    def __init__(self, judge: Judge, replies: Replies, help_lines: HelpLines) -> None:
        self._judge = judge
        self._replies = replies
        self._help_lines = help_lines

    async def answer(self, request: Request) -> _Exchange:
        """Read the request; judging and replying happen while the answer is sent."""
        asked = read_chat(await read_json_body(request))
        return _Exchange(self._judge, self._replies, self._help_lines, asked)


class _Exchange:
    """One request, as something that can be sent. All of it runs in one task."""

    def __init__(
        self, judge: Judge, replies: Replies, help_lines: HelpLines, asked: ChatAsked
    ) -> None:
        self._judge = judge
        self._replies = replies
        self._help_lines = help_lines
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or stop all work for it when the client goes away."""
        with contextlib.suppress(ClientGone):
            await while_connected(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        judgement = await self._judge.judge(self._asked.messages)
        scope["oa_chat.action"] = judgement.decision.action.value
        lines = list(self._help_lines()) if judgement.decision.show_help else []
        wanted = self._asked.wanted
        completion = Completion(self._replies.target.named(wanted.model), judgement, lines)
        async with aclosing(self._reply(judgement, lines)) as events:
            first = await anext(events)  # what goes wrong up to here is an HTTP error
            if wanted.stream:
                await self._stream(completion, first, events, send)
                return
            said = [first.text] if isinstance(first, Said) else []
            ended = first if isinstance(first, Ended) else Ended("stop")
            async for event in events:
                if isinstance(event, Said):
                    said.append(event.text)
                else:
                    ended = event
        body = msgspec.json.encode(completion.whole("".join(said), ended))
        await Response(body, media_type="application/json")(scope, receive, send)

    async def _reply(
        self, judgement: Judgement, lines: Sequence[str]
    ) -> AsyncGenerator[Said | Ended, None]:
        """The reply of the model, or the explanation in its place. Ends with `Ended`."""
        if judgement.refused:
            yield Said(explanation(judgement, lines))
            yield Ended("content_filter", Usage(0, 0))
            return
        async with aclosing(self._replies.to(judgement, self._asked.wanted)) as events:
            async for event in events:
                yield event

    async def _stream(
        self,
        completion: Completion,
        first: Said | Ended,
        events: AsyncGenerator[Said | Ended, None],
        send: Send,
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})

        async def write(data: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        await write(_event(completion.first()))
        try:
            await write(self._chunks(completion, first))
            async for event in events:
                await write(self._chunks(completion, event))
        except OaChatError as error:
            await write(_event(error_body(as_refusal(error))), more=False)
        else:
            await write(_DONE, more=False)

    def _chunks(self, completion: Completion, event: Said | Ended) -> bytes:
        if isinstance(event, Said):
            return _event(completion.piece(event.text))
        data = _event(completion.last(event))
        if self._asked.wanted.include_usage and event.usage:
            data += _event(completion.usage(event.usage))
        return data


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
