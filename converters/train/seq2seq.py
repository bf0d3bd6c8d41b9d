"""Kind "seq2seq": a T5 that writes the label and then a rule, in a dialect of Open-Assistant's.

T5 v1.0, v1.1, flan, mT5, ByT5, or from scratch. Prompt, answer and their reading are those of
`oa_chat.guards.open_assistant`. Records with several levels are left out: an answer has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.convert.guard_config import GuardConfig, write_guard_config
from converters.errors import DataError
from converters.train.bases import load_model, load_tokenizer, merged, scratch_size, with_lora
from converters.train.card import table
from converters.train.files import Folders, data_files
from converters.train.guard_rows import SourceRule
from converters.train.job import Evaluation, Finished, Inputs, Part, Processes, Stage, Survey
from converters.train.optimizers import adamw
from converters.train.schedule import Batches, rates, steps_of
from converters.train.seq2seq_dev import MULTIPLE, measured, padded
from converters.train.seq2seq_rows import Example, Wanted, read_examples
from converters.train.seq2seq_tokens import MARKS, T5Tokens, learned
from converters.train.settings import Recipe
from oa_chat.guards.open_assistant import Dialect, OpenAssistant
from oa_chat.verdict import LABELS

SIZES = {
    "nano": (2, 64, 2, 128),
    "narrow": (3, 128, 4, 256),
    "mini": (4, 256, 4, 512),
    "small": (6, 384, 6, 1024),
}
"""Layers of encoder and of decoder, width, heads, width of the feed-forward layers."""
_IGNORED = -100


class DataSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[data]``: files of records."""

    train: list[str]
    dev: list[str] = []
    skip: list[str] = []
    """Sources that are left out, in both."""
    source: list[SourceRule] = []
    """`mass` and `partial_weight` mean nothing here."""
    most_rules: int = 1
    need_rule: bool = True
    """Leave out flagged records without a rule."""
    dev_most: int = 200
    """Dev records that are answered in an evaluation."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[model]``."""

    dialect: Dialect = "blade2blade"
    max_tokens: int = 256
    """Of the prompt; the front of a longer one is cut, as in the app."""
    answer_tokens: int = 64
    label_weight: float = 1.0
    """The weight of the label's tokens against those of the rule."""
    dropout: float | None = None
    freeze_embeddings: bool = False
    vocabulary: int = 4096
    """From scratch: pieces of the tokenizer at most."""


class Seq2SeqRecipe(Recipe, frozen=True, kw_only=True):
    """The recipe."""

    data: DataSettings
    model: ModelSettings = ModelSettings()


RECIPE = Seq2SeqRecipe


def open_job(recipe: Seq2SeqRecipe, folders: Folders) -> Seq2SeqJob:
    """Read the records and open the model. Raises PipelineErrors."""
    return Seq2SeqJob(recipe, folders)


class Seq2SeqJob:
    """See `job.Job`."""

    def __init__(self, recipe: Seq2SeqRecipe, folders: Folders) -> None:
        self._recipe = recipe
        self._family = OpenAssistant(recipe.model.dialect)
        train, dev = data_files(recipe.data.train, folders), data_files(recipe.data.dev, folders)
        self.files: Mapping[str, Path] = {**train, **dev}
        settings = recipe.data
        wanted = Wanted(
            self._family,
            settings.source,
            settings.skip,
            settings.most_rules,
            settings.need_rule,
            recipe.seed,
        )
        self._examples, left_out = read_examples(train.values(), wanted)
        if not self._examples:
            raise DataError("No record is left to train on.", "Look at data.skip and repeat.")
        judged = Wanted(self._family, [], settings.skip, settings.most_rules, False, 0)
        self._dev = read_examples(dev.values(), judged)[0][: settings.dev_most]
        self.tokens, self.model = self._open()
        self._prompts = [self._prompt(one) for one in self._examples]
        room = recipe.model.answer_tokens
        self._targets = [self.tokens.target(one.target, room) for one in self._examples]
        self.survey = self._survey(left_out)
        self.stages = [self._stage()]

    def _open(self) -> tuple[T5Tokens, Any]:
        from transformers import AutoModelForSeq2SeqLM

        recipe = self._recipe
        size = scratch_size(recipe.base, list(SIZES))
        marks = MARKS[recipe.model.dialect]
        if size:
            texts = [
                segment.text
                for one in self._examples
                for segment in (*one.prompt, *one.target)
                if not segment.trusted
            ]
            tokens = T5Tokens(learned(texts, recipe.model.vocabulary, recipe.seed), marks)
            model = _new_model(size, tokens, recipe.model)
        else:
            tokens = T5Tokens(load_tokenizer(recipe.base), marks)
            more = {} if recipe.model.dropout is None else {"dropout_rate": recipe.model.dropout}
            model = load_model(recipe.base, AutoModelForSeq2SeqLM, **more)
            _make_room(model, tokens.size)
        if recipe.model.freeze_embeddings:
            model.get_input_embeddings().weight.requires_grad_(False)
        return tokens, with_lora(model, recipe.lora, "SEQ_2_SEQ_LM", [])

    def _prompt(self, one: Example) -> list[int]:
        return self.tokens.prompt(one.prompt, self._recipe.model.max_tokens)

    def _stage(self) -> Stage:
        settings = self._recipe.train
        size = settings.batch * settings.accumulation
        lengths = [
            len(a) * 4096 + len(b) for a, b in zip(self._prompts, self._targets, strict=True)
        ]
        batches = Batches(lambda _: lengths, size, self._recipe.seed, settings.group_by_length)
        steps = steps_of(settings, len(self._examples))

        def inputs(step: int, rank: int, count: int) -> Sequence[Inputs]:
            _, numbers = batches.step(step)
            whole = sum(sum(self._weights(number)) for number in numbers) or 1.0
            micros = [
                numbers[at : at + settings.batch] for at in range(0, len(numbers), settings.batch)
            ]
            return [self._collated(micro, rank, count, whole) for micro in micros]

        rate = rates(settings.schedule, steps, settings.warmup, settings.end)
        every = settings.evaluate_every or batches.per_epoch
        return Stage("train", steps, rate, inputs, every)

    def _weights(self, number: int) -> list[float]:
        """The weight of each token of an answer."""
        one = self._examples[number]
        ids = self._targets[number]
        label = len(self.tokens.target([s for s in one.target if s.text in LABELS], len(ids)))
        first = int(self._recipe.model.dialect == "seed")
        factor = self._recipe.model.label_weight
        return [
            one.weight * (factor if first <= at < first + label else 1.0) for at in range(len(ids))
        ]

    def _collated(self, numbers: Sequence[int], rank: int, count: int, whole: float) -> Inputs:
        import torch

        mine = list(numbers[rank::count])
        scale = 1 / whole if mine else 0.0
        mine = mine or [numbers[0]]  # more processes than records: something has to be computed
        weights = [[w * scale for w in self._weights(number)] for number in mine]
        prompts = [self._prompts[number] for number in mine]
        targets = [self._targets[number] for number in mine]
        return {
            "input_ids": padded(prompts, self.tokens.pad),
            "attention_mask": padded([[1] * len(row) for row in prompts], 0),
            "labels": padded(targets, _IGNORED),
            "weights": torch.nn.functional.pad(
                torch.nn.utils.rnn.pad_sequence([torch.tensor(w) for w in weights], True),
                (0, -max(map(len, weights)) % MULTIPLE),
            ),
        }

    def optimizers(self) -> list[Any]:
        """AdamW."""
        return [adamw(self.model, self._recipe.train, lambda name: "lm_head" in name)]

    def loss(self, model: Any, inputs: Inputs) -> Any:
        """Cross-entropy of the answer's tokens by weight, over the weights of the whole step."""
        import torch

        weights = inputs.pop("weights")
        logits = model(**inputs).logits.float()
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1),
            inputs["labels"].flatten(),
            ignore_index=_IGNORED,
            reduction="none",
        )
        return (losses * weights.flatten()).sum()

    def evaluate(self, model: Any, processes: Processes) -> Evaluation | None:
        """Macro-F1 of the labels that were written, share that could be read, chrF of rules."""
        if not self._dev:
            return None
        metrics = measured(model, self.tokens, self._family, self._dev, self._recipe, processes)
        # The rules decide between equals: on a narrow set the labels are soon all right.
        return Evaluation(metrics["macro_f1"] + metrics["rule_chrf"] / 10_000, metrics)

    def save(self, folder: Path, processes: Processes) -> Finished | None:
        """Write model, tokenizer and `oa_chat.json`."""
        found = self.evaluate(self.model, processes)
        if processes.rank:
            return None
        merged(self.model).save_pretrained(folder)
        self.tokens.tokenizer.save_pretrained(folder)
        config = GuardConfig(
            max_tokens=self._recipe.model.max_tokens,
            prompt_format=f"open-assistant/{self._recipe.model.dialect}",
            general=self._recipe.general,
        )
        write_guard_config(folder, config)
        metrics = dict(found.metrics) if found else {}
        card = "\n\n".join(
            [
                f"Writes a label and a rule of thumb, `{self._recipe.model.dialect}` dialect.",
                "The labels: " + ", ".join(f"`{label}`" for label in LABELS),
                "## Results on the dev files",
                table(list(metrics.items())),
            ]
        )
        return Finished(metrics, card, {"pipeline_tag": "text-generation"})

    def _survey(self, left_out: int) -> Survey:
        parts = Counter((one.source or "(no source)", one.severity.words) for one in self._examples)
        rows = [Part(name, label, number) for (name, label), number in sorted(parts.items())]
        lengths = [len(a) + len(b) for a, b in zip(self._prompts, self._targets, strict=True)]
        notes = [f"dev         {len(self._dev):,} records"]
        if left_out:
            notes.insert(0, f"left out    {left_out:,} records without one level, or a rule")
        return Survey(rows, lengths, notes)


def _new_model(size: str, tokens: T5Tokens, settings: ModelSettings) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    layers, width, heads, inner = SIZES[size]
    config = T5Config(
        vocab_size=-(-tokens.size // MULTIPLE) * MULTIPLE,
        d_model=width,
        d_kv=width // heads,
        d_ff=inner,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.1 if settings.dropout is None else settings.dropout,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.end,
        decoder_start_token_id=tokens.pad,
        tie_word_embeddings=True,
    )
    return T5ForConditionalGeneration(config)


def _make_room(model: Any, size: int) -> None:
    """Rows for added tokens, without tying an output matrix that is a matrix of its own."""
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    if head is not None and head.weight is not table:
        model.config.tie_word_embeddings = False
    if size > table.shape[0]:
        model.resize_token_embeddings(size, pad_to_multiple_of=MULTIPLE, mean_resizing=False)
