"""Checkpoints behind the interface of the app's engine, so that the app's `LocalGuard` asks them.

`TorchClassifier` answers `classify` and `TorchSeq2Seq` answers `write`, as `oa_chat.engine` does
for GGUF files: the same inputs (`PassageIds`), the same looks at a long text (`looks`), the same
label probabilities. Everything runs in this process; no weights of a format that runs code are
read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from converters.errors import ConversionError
from converters.pretrained import load_pretrained
from oa_chat.engine.cuts import Ids
from oa_chat.engine.looks import Scores
from oa_chat.engine.passage_ids import PassageIds
from oa_chat.engine.protocol import ModelInfo, ModelKind, OnProgress, Output, Passage, Window
from oa_chat.errors import ModelUnreadable
from oa_chat.guards.open_assistant import Dialect
from oa_chat.segment import Segment

if TYPE_CHECKING:
    from converters.train.seq2seq_tokens import T5Tokens

T = TypeVar("T")
_BATCH_TOKENS = 4096
"""Tokens in a batch, padding included."""
_MOST_TOKENS = 512
"""Of a prompt, as the engine for T5 has it."""


class TorchEngine(ABC):
    """What both kinds have in common. Loads at first use."""

    def __init__(self, folder: Path, kind: ModelKind, threads: int) -> None:
        self.info: ModelInfo | None = None
        self._folder = folder
        self._kind = kind
        self._threads = threads
        self._model: Any = None
        self._tokenizer: Any = None
        self._device = "cpu"

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load weights and tokenizer. Raises ModelUnreadable."""
        if self.info is None:
            self._open()
            self.info = ModelInfo(
                name=self._folder.name,
                architecture=str(self._model.config.model_type),
                kind=self._kind,
                context=self._context(),
                trained_context=self._context(),
                size_bytes=sum(one.numel() * 4 for one in self._model.parameters()),
                parameters=sum(one.numel() for one in self._model.parameters()),
                device=self._device,
                gpu_layers=0,
                threads=self._threads,
            )
            if on_progress:
                on_progress(1, 1)
        return self.info

    async def close(self) -> None:
        """Free the model."""
        self.info = self._model = self._tokenizer = None

    def _open(self) -> None:
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        try:
            # The other format of weights can run code.
            self._tokenizer, model = load_pretrained(self._folder, self._kind, use_safetensors=True)
        except ConversionError as error:
            hint = "It needs config.json, model.safetensors and its tokenizer."
            raise ModelUnreadable(error.message, hint) from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device)

    @abstractmethod
    def _context(self) -> int:
        """Tokens that it takes."""


class TorchClassifier(TorchEngine):
    """An encoder with a head, as `oa_chat.engine.classifier` runs it."""

    def __init__(
        self,
        folder: Path,
        threads: int,
        *,
        max_tokens: int,
        temperature: float,
        separators: int,
        closer_looks: bool,
    ) -> None:
        super().__init__(folder, "classifier", threads)
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._separators = separators
        self._closer_looks = closer_looks
        self._ids: PassageIds | None = None
        self._pad = 0

    async def classify(self, passages: Sequence[Passage]) -> list[list[Window]]:
        """The windows of each passage, as `Engine.classify` gives them."""
        await self.load()
        scores: dict[Ids, Scores] = {}
        assert self._ids is not None
        plans = [self._ids.plan(passage) for passage in passages]
        self._judge((ids for plan in plans for ids in plan.first_look()), scores)
        self._judge((ids for plan in plans for ids in plan.second_look(scores)), scores)
        return [plan.windows(scores) for plan in plans]

    def _context(self) -> int:
        return self._max_tokens

    def _open(self) -> None:
        from converters.train.classifier_model import Vocabulary

        super()._open()
        vocabulary = Vocabulary(self._tokenizer, self._max_tokens)
        self._pad = vocabulary.pad
        self._ids = PassageIds(
            vocabulary.first,
            vocabulary.separator,
            self._max_tokens,
            vocabulary,
            self._separators,
            self._closer_looks,
        )

    def _judge(self, texts: Iterator[Ids], scores: dict[Ids, Scores]) -> None:
        import torch

        wanted = [ids for ids in dict.fromkeys(texts) if ids not in scores]
        for batch in padded_batches(wanted, len):
            width = max(map(len, batch))
            rows = [[*ids, *[self._pad] * (width - len(ids))] for ids in batch]
            mask = [[1] * len(ids) + [0] * (width - len(ids)) for ids in batch]
            with torch.inference_mode():
                logits = self._model(
                    input_ids=torch.tensor(rows, device=self._device),
                    attention_mask=torch.tensor(mask, device=self._device),
                ).logits
                found = torch.softmax(logits.double() / self._temperature, dim=-1).tolist()
            scores.update(zip(batch, found, strict=True))


class TorchSeq2Seq(TorchEngine):
    """A T5, as `oa_chat.engine.seq2seq` runs it: greedy, with the labels' probabilities."""

    def __init__(self, folder: Path, threads: int, dialect: Dialect) -> None:
        super().__init__(folder, "seq2seq", threads)
        self._dialect: Dialect = dialect
        self._tokens: T5Tokens | None = None

    async def write(
        self,
        prompts: Sequence[Sequence[Segment]],
        labels: Sequence[str],
        brief: Sequence[str] = (),
        max_tokens: int = 64,
    ) -> list[Output]:
        """One output a prompt, as `Engine.write` gives them."""
        await self.load()
        outputs = [self._write(prompt, labels, max_tokens) for prompt in prompts]
        return [_shortened(output, brief) for output in outputs]

    def _context(self) -> int:
        return _MOST_TOKENS

    def _open(self) -> None:
        from converters.train.seq2seq_tokens import MARKS, T5Tokens

        super()._open()
        marks = MARKS[self._dialect]
        ids = self._tokenizer.convert_tokens_to_ids(marks)
        if {None, self._tokenizer.unk_token_id} & {*ids}:
            raise ModelUnreadable(
                f"{self._folder}: the vocabulary lacks one of {', '.join(marks)}.",
                f"A guard of the {self._dialect} dialect has them all.",
            )
        self._tokens = T5Tokens(self._tokenizer, marks)

    def _write(self, prompt: Sequence[Segment], labels: Sequence[str], most: int) -> Output:
        import torch

        assert self._tokens is not None
        ids = self._tokens.prompt(prompt, _MOST_TOKENS + 1)
        with torch.inference_mode():
            inputs = torch.tensor([ids[-_MOST_TOKENS:]], device=self._device)
            encoded = self._model.get_encoder()(input_ids=inputs)
            written = self._model.generate(
                encoder_outputs=encoded,
                attention_mask=torch.ones_like(inputs),
                do_sample=False,
                num_beams=1,
                max_new_tokens=most,
            )[0].tolist()
            rows = [self._tokens.target([Segment(label)], _MOST_TOKENS) for label in labels]
            probabilities = self._label_probabilities(encoded, written, rows)
        text = self._tokens.text(written[1:])
        return Output(text, probabilities, self._tokens.end in written, len(ids) > _MOST_TOKENS)

    def _label_probabilities(
        self, encoded: Any, written: Sequence[int], rows: Sequence[list[int]]
    ) -> list[float] | None:
        """The probability of each label's tokens at the place where one of them was written."""
        import torch

        places = [(at, row) for row in rows if (at := _place(written, row)) > 0]
        if not places:
            return None
        start = min(places, key=lambda place: place[0])[0]
        before = list(written[:start])
        found = []
        for row in rows:
            decoder = torch.tensor([[*before, *row[:-1]]], device=self._device)
            logits = self._model(encoder_outputs=encoded, decoder_input_ids=decoder).logits[0]
            logs = torch.log_softmax(logits[start - 1 :].double(), dim=-1)
            found.append(float(logs[range(len(row)), row].sum().exp()))
        return found


def _shortened(output: Output, brief: Sequence[str]) -> Output:
    """Without what follows a label after which the engine stops writing."""
    for label in brief:
        before, found, _ = output.text.partition(label)
        if found:
            return Output(before + label, output.probabilities, True, output.truncated)
    return output


def _place(written: Sequence[int], row: Sequence[int]) -> int:
    """Where a run of tokens stands; -1 if it does not."""
    places = range(len(written) - len(row) + 1)
    return next((at for at in places if list(written[at : at + len(row)]) == list(row)), -1)


def padded_batches(items: Sequence[T], length: Callable[[T], int]) -> Iterator[list[T]]:
    """The items, those of like length together, in batches that are not too large when padded."""
    batch: list[T] = []
    for item in sorted(items, key=length):
        if batch and (len(batch) + 1) * length(item) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
