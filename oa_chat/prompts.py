"""From messages to prompts: chat templates, without letting text become control.

A chat template joins strings, so a message that contains ``<|im_end|>`` would end its own turn if
the whole prompt were tokenised with control tokens on. Here each message's text is replaced by a
marker, the template is rendered, and the result is cut at the markers: the template's own pieces
are trusted, the texts between them are not. Pure; nothing here tokenises.

    template = ChatTemplate(source_from_the_file, bos="<s>", eos="</s>")
    template.render([Message("user", "Hello")]).segments
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jinja2

from oa_chat.conversation import Message
from oa_chat.errors import ModelError
from oa_chat.segment import Segment
from oa_chat.template_sandbox import TemplateRefuses, compile_template, render_template

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'"
    " + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The template for files that have none."""

_MARKS = (
    *("<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|endoftext|>", "<s>", "</s>"),
    *("### Instruction:", "### Response:", "### Human:", "### Assistant:"),
)
"""What templates write around turns. In many vocabularies some of these are ordinary text."""

_SECRET = secrets.token_hex(8)
"""One for the process: nobody who writes a message can know it, and prompts stay the same."""
_BLANK = " \t \t "
"""Put around each marker: where it is gone afterwards, the template has trimmed."""
_MARKER = re.compile(f"mark{_SECRET}n(\\d+)e")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt in pieces."""

    segments: tuple[Segment, ...]
    """Trusted pieces of the template and untrusted texts; none is empty."""
    tail: str
    """The newest message as the model sees it, with the template's marks."""
    defused: bool = False
    """The template looks into texts, so control strings in them were taken apart instead."""


@dataclass(frozen=True, slots=True)
class _View:
    """What a template sees beside the messages, and how it sees them."""

    reply_next: bool
    options: dict[str, Any]
    parts: bool = False
    """Contents as lists of parts: templates of models that also take images want that."""

    def content(self, message: Message) -> str | list[dict[str, str]]:
        return [{"type": "text", "text": message.text}] if self.parts else message.text


class ChatTemplate:
    """A model's chat template."""

    def __init__(
        self, source: str | None, *, bos: str = "", eos: str = "", controls: Iterable[str] = ()
    ) -> None:
        """`controls` are the model's control strings, for templates that look into texts."""
        self.assumed = False
        """Whether ChatML stands in for a template that is missing or broken."""
        self.problem = ""
        """What is wrong with the file's template, for the user; empty if nothing is."""
        self._variables = {"bos_token": bos, "eos_token": eos, "tools": None, "documents": None}
        self._controls = [text for text in controls if text]
        self._source = source or CHATML
        try:
            self._template = compile_template(self._source)
        except (jinja2.TemplateError, RecursionError, MemoryError, ValueError) as error:
            self.problem = f"The file's chat template is broken ({str(error)[:120]})."
            self._source = CHATML
            self._template = compile_template(CHATML)
        if self._source is CHATML:
            self.assumed = True
            self.problem = self.problem or "The file has no chat template."
        known = set(self._controls)
        self._plain_marks = [m for m in _MARKS if m in self._source and m not in known]

    def render(
        self,
        messages: Sequence[Message],
        reply_next: bool = True,
        *,
        options: Mapping[str, Any] | None = None,
        verbatim: bool = False,
    ) -> Rendered:
        """The prompt for these messages; `reply_next` opens the assistant's turn.

        `options` are further variables of the template, trusted as the template is. `verbatim`
        keeps the thoughts in replies, for guards: nothing may hide in them. Raises `ModelError` if
        the template cannot render the messages in any way.
        """
        messages = [replace(message, text=self._cleaned(message, verbatim)) for message in messages]
        view = _View(reply_next, dict(options or {}))
        for candidate in _candidates(messages):
            for parts in (False, True):
                view = replace(view, parts=parts)
                segments = self._marked(candidate, view)
                if segments is not None:
                    return Rendered(tuple(segments), self._tail(candidate, segments, view))
        return self._defused(messages, replace(view, parts=False))

    def _cleaned(self, message: Message, verbatim: bool) -> str:
        """The text as the template would see it: without the thoughts of earlier replies.

        Marks that are no control tokens in this vocabulary look the same from a template and from
        a person, so they are taken apart here.
        """
        text = _take_apart(message.text, self._plain_marks)
        if verbatim:
            return text
        if message.role == "assistant" and "</think>" in text and "</think>" in self._source:
            return text.rpartition("</think>")[2].lstrip("\n")
        return text

    def _text(self, messages: Sequence[Message], view: _View) -> str:
        rows = [{"role": message.role, "content": view.content(message)} for message in messages]
        given = {"messages": rows, "add_generation_prompt": view.reply_next}
        variables = {**self._variables, **view.options, **given}
        return render_template(self._template, variables)

    def _marked(self, messages: Sequence[Message], view: _View) -> list[Segment] | None:
        """Segments through markers; None if the template does not let them through."""
        marked = [
            replace(message, text=f"{_BLANK}mark{_SECRET}n{number}e{_BLANK}")
            for number, message in enumerate(messages)
        ]
        try:
            text = self._text(marked, view)
        except Exception:  # noqa: BLE001 - a stranger's code
            return None
        pieces = _MARKER.split(text)
        numbers = [int(number) for number in pieces[1::2]]
        if numbers != list(range(len(messages))) or text.count(_SECRET) != len(messages):
            return None
        return _cut(pieces[0::2], messages)

    def _tail(self, messages: Sequence[Message], segments: Sequence[Segment], view: _View) -> str:
        """The part of the prompt that the newest message adds."""
        earlier = replace(view, reply_next=False)
        before = self._marked(messages[:-1], earlier) if len(messages) > 1 else []
        whole = "".join(segment.text for segment in segments)
        shared = "".join(segment.text for segment in before or [])
        if whole.startswith(shared):
            return whole[len(shared) :]
        newest = max((n for n, part in enumerate(segments) if not part.trusted), default=0)
        return "".join(part.text for part in segments[max(0, newest - 1) :])

    def _defused(self, messages: Sequence[Message], view: _View) -> Rendered:
        """For templates that look into texts: real texts, with control strings taken apart."""
        safe = [replace(message, text=self.defuse(message.text)) for message in messages]
        failure: Exception | None = None
        for candidate in _candidates(safe):
            try:
                text = self._text(candidate, view)
            except Exception as error:  # noqa: BLE001 - a stranger's code
                failure = failure or error
                continue
            if all(_shows(message.text, text) for message in candidate):
                tail = text[max(0, text.rfind(candidate[-1].text.strip())) :]
                return Rendered((Segment(text, trusted=True),), tail, defused=True)
        reason = str(failure) if isinstance(failure, TemplateRefuses) else repr(failure)[:200]
        if failure is None:
            reason = "it leaves out messages"
        raise ModelError(
            f"The model's chat template cannot show this conversation: {reason}.",
            "Use another model, or one with a working chat template.",
        )

    def defuse(self, text: str) -> str:
        """The text with every control string in it taken apart."""
        return _take_apart(text, self._controls)


def _take_apart(text: str, marks: Sequence[str]) -> str:
    """Break each mark in the text by a space after its first character, or leave it out."""
    for mark in marks:
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    while any(mark in text for mark in marks):  # such as marks that are blank or inside each other
        for mark in marks:
            text = text.replace(mark, "")
    return text


def _shows(text: str, prompt: str) -> bool:
    """Whether the prompt holds the text, however it was trimmed."""
    return text.strip() in prompt


def _candidates(messages: Sequence[Message]) -> list[list[Message]]:
    """The messages as they are, then without a system role, which some templates do not know."""
    plain = list(messages)
    if len(plain) < 2 or plain[0].role != "system" or plain[1].role != "user":
        return [plain]
    merged = Message("user", f"{plain[0].text}\n\n{plain[1].text}")
    return [plain, [merged, *plain[2:]]]


def _cut(pieces: Sequence[str], messages: Sequence[Message]) -> list[Segment] | None:
    """Put the texts between the template's pieces, trimmed as the template trims."""
    segments: list[Segment] = []
    starts_blank = False
    for number, piece in enumerate(pieces):
        trusted = piece.removeprefix(_BLANK) if starts_blank else piece
        last = number == len(messages)
        ends_blank = not last and trusted.endswith(_BLANK)
        segments.append(Segment(trusted.removesuffix(_BLANK) if ends_blank else trusted, True))
        if last:
            break
        starts_blank = pieces[number + 1].startswith(_BLANK)
        said = messages[number]
        text = said.text if ends_blank else said.text.lstrip()
        text = text if starts_blank else text.rstrip()
        segments.append(Segment(text, reply=said.role == "assistant"))
    if any(_BLANK in segment.text for segment in segments if segment.trusted):
        return None
    return [segment for segment in segments if segment.text]
