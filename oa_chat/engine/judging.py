"""Answers to `Judge`: a text-generating guard writes a short answer in a fixed form, greedily.

The prompt's beginning, mostly a long policy, stays in the cache from question to question. Child
processes only; what an answer means is up to the guard families.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from oa_chat.engine import choice_scores
from oa_chat.engine.constrained import Constrained, logits
from oa_chat.engine.decoder import Row
from oa_chat.engine.native import Context, Model
from oa_chat.engine.prefix_cache import PrefixCache
from oa_chat.engine.prompt_tokens import PromptEncoder
from oa_chat.engine.protocol import Judge, Output, Progress, Question, Written
from oa_chat.engine.runner import Cancelled, Emit
from oa_chat.engine.snapshots import Snapshots
from oa_chat.errors import EngineError
from oa_chat.prompts import ChatTemplate
from oa_chat.segment import Segment

_TOKENS_A_SIGN = 8
"""Tokens between two signs of life."""
_BREAKS = re.compile(r"\s*\n")


@dataclass(slots=True)
class _Answer:
    """An answer as it grows."""

    lead: str
    data: bytes = b""
    probabilities: list[float] | None = None
    finished: bool = False
    stopped: str | None = None
    made: list[int] = field(default_factory=list)

    @property
    def written(self) -> str:
        """What was generated."""
        return self.data.decode("utf-8", "replace") if self.stopped is None else self.stopped

    @property
    def text(self) -> str:
        return self.lead + self.written

    def output(self) -> Output:
        return Output(text=self.text, probabilities=self.probabilities, finished=self.finished)


class Judging:
    """The questions to one loaded model."""

    def __init__(
        self,
        model: Model,
        context: Context,
        cache: PrefixCache,
        encoder: PromptEncoder,
        template: ChatTemplate,
        size: int,
    ) -> None:
        """`size` is how many tokens the context holds."""
        self._model = model
        self._context = context
        self._cache = cache
        self._encoder = encoder
        self._template = template
        self._size = size
        self._snapshots = Snapshots(context, cache)

    def run(self, request: Judge, emit: Emit, cancelled: Cancelled) -> None:
        """Answer; cancelled, the questions that were not reached have empty, unfinished outputs."""
        outputs: list[Output] = []
        total = len(request.questions)

        def alive() -> None:
            emit(Progress(id=request.id, stage="judge", done=len(outputs), total=total))

        for question in request.questions:
            outputs.append(self._ask(question, alive, cancelled))
            alive()
        emit(Written(id=request.id, outputs=outputs))

    def _ask(self, question: Question, alive: Callable[[], None], cancelled: Cancelled) -> Output:
        if cancelled():
            return Output(text="", probabilities=None, finished=False)
        encoded = self._encoder.encode(self._segments(question))
        ids = encoded.ids
        if not ids:
            raise EngineError("The guard's question is empty.")
        if len(ids) + question.max_tokens > self._size:
            return Output(text="", probabilities=None, finished=False, truncated=True)

        def sign(done: int, total: int) -> None:
            alive()

        answer = _Answer(question.lead)
        self._snapshots.begin(ids[: encoded.oldest_start], cancelled, sign)
        self._cache.keep(ids, logits=True)
        if self._cache.evaluate(ids, cancelled, sign):
            chosen = Constrained(self._model, question.grammar)
            try:
                self._write(question, answer, chosen, alive, cancelled)
            finally:
                chosen.close()
        return answer.output()

    def _segments(self, question: Question) -> list[Segment]:
        segments = list(question.segments)
        if not segments:
            rendered = self._template.render(
                question.messages, options=question.options, verbatim=True
            )
            segments = list(rendered.segments)
        lead = _without_blanks(question.lead, segments[-1].text if segments else "")
        segments = _blanks_to_texts(segments)
        return [*segments, Segment(lead, trusted=True)] if lead else segments

    def _write(
        self,
        question: Question,
        answer: _Answer,
        chosen: Constrained,
        alive: Callable[[], None],
        cancelled: Cancelled,
    ) -> None:
        decided = not question.choices
        while len(answer.made) < question.max_tokens and not cancelled():
            if len(answer.made) % _TOKENS_A_SIGN == 0:
                alive()
            token = chosen.next(self._context)
            if not decided and _at_place(answer, question.after):
                decided = True
                answer.probabilities = self._scores(question.choices, cancelled)
            if token is None:
                return
            if self._model.is_eog(token):
                answer.finished = True
                return
            answer.made.append(token)
            answer.data += self._model.piece(token, special=True)  # harmony's channels are such
            if _ends(answer, question):
                answer.finished = True
                return
            if len(answer.made) < question.max_tokens:
                self._cache.append(token)

    def _scores(self, choices: Sequence[str], cancelled: Cancelled) -> list[float] | None:
        """Of the choices as what comes next; None if that takes going back and the model cannot."""
        base = list(self._cache.ids)
        first = self._row()
        if not self._cache.can_rewind and len({choice[:1] for choice in choices}) < len(choices):
            return None

        def follow(path: tuple[int, ...]) -> choice_scores.Probability:
            if not path:
                return first.probability
            ids = [*base, *path]
            self._cache.keep(ids, logits=True)
            self._cache.evaluate(ids, lambda: False, lambda done, total: None)
            return self._row().probability

        found = choice_scores.scores(choices, self._exactly, follow)
        self._cache.keep(base, logits=False)
        return found

    def _row(self) -> Row:
        size = self._model.n_vocab
        return Row(list(logits(self._context, size)))

    def _exactly(self, data: bytes) -> int | None:
        try:
            ids = self._model.tokenize(data.decode(), continues=True)
        except UnicodeDecodeError:
            return None
        return ids[0] if len(ids) == 1 and self._model.piece(ids[0]) == data else None


def _blanks_to_texts(segments: Sequence[Segment]) -> list[Segment]:
    """The same prompt, with the blanks around a text in one piece with it.

    Guards were trained on whole prompts, in which ``User: hi`` has a token for `` hi`` and a
    text's full stop one with the line breaks behind it. Blanks are never control tokens.
    """
    joined = list(segments)
    for at, segment in enumerate(joined):
        if segment.trusted:
            continue
        text = segment.text
        if at and joined[at - 1].trusted:
            before = joined[at - 1].text
            kept = before.rstrip(" ")
            joined[at - 1] = Segment(kept, trusted=True)
            text = before[len(kept) :] + text
        if at + 1 < len(joined) and joined[at + 1].trusted:
            behind = joined[at + 1].text
            breaks = _BREAKS.match(behind)
            taken = breaks.end() if breaks else 0
            joined[at + 1] = Segment(behind[taken:], trusted=True)
            text += behind[:taken]
        joined[at] = Segment(text)
    return [segment for segment in joined if segment.text]


def _at_place(answer: _Answer, after: str) -> bool:
    """Whether the decisive place is here: behind the lead, or behind the text `after`."""
    return answer.text.endswith(after) if after else not answer.made


def _ends(answer: _Answer, question: Question) -> bool:
    """Whether the answer is whole; what a stop text cuts off is taken away."""
    written = answer.written
    places = [place for text in question.stop if text and (place := written.find(text)) >= 0]
    if places:
        answer.stopped = written[: min(places)]
    return bool(places) or written in question.brief


def _without_blanks(lead: str, before: str) -> str:
    """The lead without the blanks at its front that the prompt ends with already."""
    blanks = lead[: len(lead) - len(lead.lstrip())]
    for length in range(len(blanks), 0, -1):
        if before.endswith(blanks[:length]):
            return lead[length:]
    return lead
