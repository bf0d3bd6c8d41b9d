"""From messages to a family's readings, through an engine: with context, without, or in windows.

What fits is judged whole. Context gives way first; a message that is too long by itself is judged
in overlapping windows, of which the worst counts. Knows neither verdicts nor time limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Output, Passage, Question
from oa_chat.errors import GuardError
from oa_chat.guards.family import GuardFamily, Part, Prompt, RawAnswer, Reading
from oa_chat.guards.windows import fitted, overlapping, worst
from oa_chat.verdict import LABELS, Severity, Subject

_CHARACTERS_PER_TOKEN = 3
"""A low guess for English; an engine says if it did not fit."""
_SMALLEST_WINDOW = 50
_MOST_CONTEXT = 3000
"""Characters of earlier turns. They change with each turn, so they are read anew for each check:
more would make checks slower as a chat goes on, by seconds on a CPU."""
_LARGEST_WINDOW = 6000
"""Characters: guards are trained on short texts and get vague about long ones, whatever fits."""


async def read_all(
    engine: Engine, family: GuardFamily, wanted: Sequence[Sequence[Message]], context: int
) -> list[Reading]:
    """One reading a conversation, of its last message; `context` is the engine's, in tokens."""
    if family.kind == "classifier":
        return await _classify(engine, family, wanted)
    fits = context * _CHARACTERS_PER_TOKEN
    return [await _write(engine, family, messages, fits) for messages in wanted]


async def _classify(
    engine: Engine, family: GuardFamily, wanted: Sequence[Sequence[Message]]
) -> list[Reading]:
    """The readings of a classifier, which cuts context and windows by itself."""
    prompts = [family.prompt(messages) for messages in wanted]
    answers = await engine.classify([one for one in prompts if isinstance(one, Passage)])
    if len(answers) != len(wanted):
        raise GuardError("The guard did not answer for every message.")
    return [
        family.read(answer, _subject(messages))
        for answer, messages in zip(answers, wanted, strict=True)
    ]


def _subject(messages: Sequence[Message]) -> Subject:
    """What is judged: by whose the last message is, as in `GuardFamily.prompt`."""
    return "reply" if messages[-1].role == "assistant" else "message"


async def _write(
    engine: Engine, family: GuardFamily, messages: Sequence[Message], fits: int
) -> Reading:
    newest, subject = messages[-1], _subject(messages)
    room = min(fits, len(newest.text) + _MOST_CONTEXT)
    for attempt in (fitted(messages, room), [newest]):
        (answer,) = await _ask(engine, family, [attempt])
        if answer is not None:
            return family.read(answer, subject)
    size = min(fits, _LARGEST_WINDOW, len(newest.text))
    while size > _SMALLEST_WINDOW:
        spans = overlapping(newest.text, size)
        parts = [[replace(newest, text=newest.text[start:end])] for start, end in spans]
        answers = await _ask(engine, family, parts)
        whole = [answer for answer in answers if answer is not None]
        if len(whole) == len(parts):
            readings = [
                replace(family.read(answer, subject), worst=span)
                for answer, span in zip(whole, spans, strict=True)
            ]
            pieces = tuple(
                Part(one.severity, one.probabilities, *span, raw=one.raw)
                for one, span in zip(readings, spans, strict=True)
            )
            return replace(worst(readings), windows=len(parts), parts=pieces)
        size //= 2
    return Reading(None, failure="the message is too long for this guard")


async def _ask(
    engine: Engine, family: GuardFamily, wanted: Sequence[Sequence[Message]]
) -> list[RawAnswer | None]:
    """One answer a conversation; None where the prompt did not fit."""
    prompts = [family.prompt(messages) for messages in wanted]
    outputs = await _outputs(engine, family, prompts)
    counts = [len(prompt) if isinstance(prompt, tuple) else 1 for prompt in prompts]
    if len(outputs) != sum(counts):
        raise GuardError("The guard did not answer for every message.")
    answers: list[RawAnswer | None] = []
    at = 0
    for prompt, count in zip(prompts, counts, strict=True):
        own = outputs[at : at + count]
        at += count
        if any(output.truncated for output in own):
            answers.append(None)
        else:
            answers.append(tuple(own) if isinstance(prompt, tuple) else own[0])
    return answers


async def _outputs(engine: Engine, family: GuardFamily, prompts: Sequence[Prompt]) -> list[Output]:
    if family.kind == "seq2seq":
        written = [prompt for prompt in prompts if isinstance(prompt, list)]
        return await engine.write(written, LABELS, brief=[Severity.CASUAL.label])
    questions: list[Question] = []
    for prompt in prompts:
        if isinstance(prompt, Question):
            questions.append(prompt)
        elif isinstance(prompt, tuple):
            questions += prompt
    return await engine.judge(questions)
