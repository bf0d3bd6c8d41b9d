"""What clients ask: the bodies of requests, checked, as plain messages and options.

The fields are those of OpenAI's API reference (Moderations, Chat completions). What would change
what a model says and cannot be done here is refused by name; other unknown fields are ignored and
never passed on, so that nothing reaches a model that the guard has not seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from oa_chat.conversation import Message
from oa_chat.sampling import Sampling
from oa_chat.serving.refusal import invalid

MOST_INPUTS = 64
"""Texts of one request for moderation."""
MOST_MESSAGES = 512
"""Messages of one conversation."""
_MOST_STOPS = 4
_LONGEST_STOP = 100

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Part(msgspec.Struct, frozen=True):
    """A piece of content."""

    type: _Text
    text: str | None = None


class _Turn(msgspec.Struct, frozen=True):
    """A message; its ``name`` is not read, since no model may take it for a role."""

    role: _Text
    content: str | list[_Part] | None = None
    tool_calls: list[Any] | None = None


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _Format(msgspec.Struct, frozen=True):
    type: _Text


_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Chat(msgspec.Struct, frozen=True):
    """The body of a chat completion, as far as it is understood."""

    messages: list[_Turn]
    model: _Text | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    n: int | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: _Format | None = None


class _Moderation(msgspec.Struct, frozen=True):
    """The body of a moderation."""

    input: str | list[str | _Part]
    model: _Text | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a reply is wanted."""

    model: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """A conversation to go on with: a system message or none, then user and assistant in turn."""

    messages: tuple[Message, ...]
    """The last one is the user's."""
    wanted: Wanted


_CHAT = msgspec.json.Decoder(_Chat)
_MODERATION = msgspec.json.Decoder(_Moderation)


def read_chat(body: bytes) -> ChatAsked:
    """The request for a chat completion. Raises HttpRefusal, with the key that is wrong."""
    asked = _decode(_CHAT, body)
    _refuse_what_is_missing(asked)
    sampling = Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        seed=asked.seed,
    )
    wanted = Wanted(
        model=asked.model or "",
        sampling=sampling,
        stop=_stops(asked.stop),
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        stream=bool(asked.stream),
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
    )
    return ChatAsked(_conversation(asked.messages), wanted)


def read_moderation(body: bytes) -> list[str]:
    """The texts to judge, one for each result. Raises HttpRefusal.

    A list of text parts is one text, as with OpenAI; a list of strings is as many texts.
    """
    asked = _decode(_MODERATION, body)
    if isinstance(asked.input, str):
        return [asked.input]
    if not asked.input:
        raise invalid("There is nothing to judge: the list is empty.", "input")
    texts = [item for item in asked.input if isinstance(item, str)]
    parts = [item for item in asked.input if isinstance(item, _Part)]
    if texts and parts:
        raise invalid("Strings and parts cannot be mixed in one list.", "input")
    if parts:
        return [_text_of(parts, "input")]
    if len(texts) > MOST_INPUTS:
        raise invalid(f"{len(texts)} texts are too many: at most {MOST_INPUTS}.", "input")
    return texts


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        raise invalid(f"{reason}.", _key(place, reason), "wrong_type") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise invalid(f"The body is not valid JSON: {reason}.", code="not_json") from error


def _key(place: str, reason: str) -> str:
    """``messages[0].role`` of msgspec's ``at `$.messages[0].role```."""
    missing = re.search(r"missing required field `([a-z_]+)`", reason)
    path = place.strip("`").removeprefix("$").removeprefix(".")
    if not missing:
        return path
    return f"{path}.{missing[1]}" if path else missing[1]


def _refuse_what_is_missing(asked: _Chat) -> None:
    plain = asked.response_format is None or asked.response_format.type == "text"
    wrong = {
        "n": asked.n not in (None, 1),
        "logprobs": bool(asked.logprobs),
        "tools": bool(asked.tools),
        "functions": bool(asked.functions),
        "response_format": not plain,
    }
    for key, refused in wrong.items():
        if refused:
            raise invalid(f"{key!r} is not supported here; leave it out.", key, "unsupported")


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > _MOST_STOPS:
        raise invalid(f"At most {_MOST_STOPS} stop texts are possible.", "stop")
    if any(not 0 < len(text) <= _LONGEST_STOP for text in stops):
        raise invalid(f"A stop text has 1 to {_LONGEST_STOP} characters.", "stop")
    return stops


_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def _conversation(turns: list[_Turn]) -> tuple[Message, ...]:
    """The messages as models want them: system texts in front, then user and assistant in turn.

    Neighbours of one role become one message, so a request in two halves is judged as a whole.
    A greeting of the assistant's before the user said anything is left out.
    """
    if len(turns) > MOST_MESSAGES:
        raise invalid(f"{len(turns)} messages are too many: at most {MOST_MESSAGES}.", "messages")
    system: list[str] = []
    spoken: list[Message] = []
    for number, turn in enumerate(turns):
        message = _message(turn, f"messages[{number}]")
        if message.role == "system":
            system.append(message.text)
        elif spoken and spoken[-1].role == message.role:
            spoken[-1] = Message(message.role, f"{spoken[-1].text}\n\n{message.text}")
        elif spoken or message.role == "user":
            spoken.append(message)
    if not spoken or spoken[-1].role != "user":
        raise invalid("The last message must be the user's.", "messages")
    head = [Message("system", "\n\n".join(system))] if any(system) else []
    return (*head, *spoken)


def _message(turn: _Turn, key: str) -> Message:
    role = _ROLES.get(turn.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise invalid(f"This role is not known here; there are {known}.", f"{key}.role")
    if turn.tool_calls:
        raise invalid("Tool calls are not supported here.", f"{key}.tool_calls", "unsupported")
    if turn.content is None:
        raise invalid("There is no content.", f"{key}.content")
    if isinstance(turn.content, str):
        return Message(role, turn.content)
    return Message(role, _text_of(turn.content, f"{key}.content"))


def _text_of(parts: list[_Part], key: str) -> str:
    """Text parts as one text: what is judged is what is sent, whole."""
    texts: list[str] = []
    for number, part in enumerate(parts):
        if part.type != "text" or part.text is None:
            raise invalid(
                "Only parts of the form {type: text, text: ...} can be judged.",
                f"{key}[{number}]",
                "unsupported",
            )
        texts.append(part.text)
    return "\n".join(texts)
