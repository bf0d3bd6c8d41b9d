"""Kind "classifier": five levels for a message (BERT, RoBERTa, XLM-R, ModernBERT).

The input is put together by the very code that the engine uses (`oa_chat.engine.passage_ids`), the
passage by the guard family. A message longer than the window is learned one window at a time, as
it is judged later; on the dev files all of its windows are judged and the worst counts.

Loss: -sum(t log p) for a softened target t, -log(sum of p over the allowed levels) for a partial
label, each times its weight over the weights of the whole step.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import msgspec

from converters.convert.guard_config import GuardConfig, Thresholds, write_guard_config
from converters.errors import DataError
from converters.train.bases import merged
from converters.train.card import table
from converters.train.classifier_dev import (
    CalibrationSettings,
    DevSet,
    fitted,
    padded,
    shifted,
    windows_of,
)
from converters.train.classifier_model import ModelSettings, is_head, open_model, shift_head
from converters.train.composing import Composer, ComposeSettings
from converters.train.files import Folders, data_files
from converters.train.guard_rows import (
    ContextSettings,
    Read,
    Row,
    SourceRule,
    exchanges,
    read_guard_rows,
)
from converters.train.job import Evaluation, Finished, Inputs, Part, Processes, Stage, Survey
from converters.train.optimizers import adamw
from converters.train.schedule import Batches, rates, steps_of
from converters.train.settings import Recipe
from oa_chat.engine.cuts import Ids
from oa_chat.engine.passage_ids import PassageIds
from oa_chat.verdict import LABELS, Severity

_INPUT = (
    "Input: `[CLS] context [SEP] message [SEP]`, at most {} tokens; longer messages in overlapping"
    " windows. Logits are to be divided by {} (fitted on the dev files)."
)


class DataSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[data]``: files of records (`converters.records`)."""

    train: list[str]
    dev: list[str] = []
    """For stopping, temperature and threshold. Never a test file."""
    skip: list[str] = []
    """Sources that are left out, in both; ``*`` stands for anything."""
    stop: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """Sources whose dev records with one level decide when to stop."""
    source: list[SourceRule] = []


class LabelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[labels]``: weights of the five levels, casual first."""

    weights: list[float] | Literal["balanced"] = []
    """"balanced": each level as one over the root of its share."""

    def __post_init__(self) -> None:
        """Five or none."""
        if self.weights != "balanced" and len(self.weights) not in (0, len(LABELS)):
            raise ValueError("weights needs five numbers")


class ClassifierRecipe(Recipe, frozen=True, kw_only=True):
    """The recipe."""

    data: DataSettings
    model: ModelSettings = ModelSettings()
    labels: LabelSettings = LabelSettings()
    context: ContextSettings = ContextSettings()
    compose: ComposeSettings = ComposeSettings()
    calibration: CalibrationSettings = CalibrationSettings()


RECIPE = ClassifierRecipe


def open_job(recipe: ClassifierRecipe, folders: Folders) -> ClassifierJob:
    """Read the records and open the model. Raises PipelineErrors."""
    return ClassifierJob(recipe, folders)


class ClassifierJob:
    """See `job.Job`."""

    def __init__(self, recipe: ClassifierRecipe, folders: Folders) -> None:
        self._recipe = recipe
        train = data_files(recipe.data.train, folders)
        dev = data_files(recipe.data.dev, folders)
        talks = data_files(recipe.context.exchanges if recipe.context.share else [], folders)
        self.files: Mapping[str, Path] = {**train, **dev, **talks}
        read = read_guard_rows(train.values(), recipe.data.source, recipe.data.skip, recipe.seed)
        self._rows = read.rows
        if not self._rows:
            raise DataError("No record is left to train on.", "Look at data.skip and repeat.")
        judged = read_guard_rows(dev.values(), [], recipe.data.skip, 0).rows
        texts = (row.passage.text for row in self._rows)
        self.model, self._tokenizer, vocabulary = open_model(recipe, texts)
        self._ids = PassageIds(
            vocabulary.first,
            vocabulary.separator,
            vocabulary.max_tokens,
            vocabulary,
            vocabulary.separators,
        )
        self._pad = vocabulary.pad
        self._dev = DevSet(judged, self._ids, self._pad)
        self._stop = self._dev.only(self._dev.numbers(recipe.data.stop))
        self._windows = [windows_of(row, self._ids) for row in self._rows]
        talk = exchanges(recipe.context, talks.values(), self._rows)
        self._contexts = [self._ids.tokens(text).ids for text in talk]
        self._composer = Composer(
            recipe.compose,
            _harmless(self._rows, self._windows, recipe.compose.sources),
            vocabulary.max_tokens - 2,
        )
        self._class_weights = _class_weights(recipe.labels, self._rows)
        self._inputs: dict[int, list[Ids]] = {}
        self.survey = self._survey(read)
        self.stages = [self._stage()]

    def _stage(self) -> Stage:
        settings = self._recipe.train
        size = settings.batch * settings.accumulation
        batches = Batches(self._lengths, size, self._recipe.seed, settings.group_by_length)
        steps = steps_of(settings, len(self._rows))

        def inputs(step: int, rank: int, count: int) -> Sequence[Inputs]:
            epoch, numbers = batches.step(step)
            whole = sum(self._weight(number) for number in numbers) or 1.0
            micros = [
                numbers[at : at + settings.batch] for at in range(0, len(numbers), settings.batch)
            ]
            return [self._collated(epoch, micro, rank, count, whole) for micro in micros]

        rate = rates(settings.schedule, steps, settings.warmup, settings.end)
        every = settings.evaluate_every or batches.per_epoch
        return Stage("train", steps, rate, inputs, every)

    def inputs_of(self, epoch: int) -> list[Ids]:
        """The token ids of each record in an epoch."""
        if epoch not in self._inputs:
            self._inputs = {epoch: [self._input(epoch, n) for n in range(len(self._rows))]}
        return self._inputs[epoch]

    def _input(self, epoch: int, number: int) -> Ids:
        windows = self._windows[number]
        chance = random.Random(f"{self._recipe.seed}/{epoch}/{number}")  # noqa: S311 - no secret
        if len(windows) > 1:
            return chance.choice(windows)
        if self._rows[number].passage.context:
            return windows[0]
        message = windows[0][1:-1]
        if self._composer.wants(chance):
            return self._ids.join(self._composer.around(message, chance))
        if chance.random() >= self._recipe.context.share:
            return windows[0]
        return self._ids.join(message, chance.choice(self._contexts))

    def _lengths(self, epoch: int) -> list[int]:
        return [len(ids) for ids in self.inputs_of(epoch)]

    def _weight(self, number: int) -> float:
        row = self._rows[number]
        levels = [weight for weight, t in zip(self._class_weights, row.target, strict=True) if t]
        factor = sum(levels) / len(levels) if row.partial else self._class_weights[_peak(row)]
        return row.weight * factor

    def _collated(
        self, epoch: int, numbers: Sequence[int], rank: int, count: int, whole: float
    ) -> Inputs:
        import torch

        mine = list(numbers[rank::count])
        weights = [self._weight(number) / whole for number in mine]
        if not mine:  # more processes than records: something has to be computed
            mine, weights = [numbers[0]], [0.0]
        rows = [self._rows[number] for number in mine]
        return {
            **padded(self._pad, [self.inputs_of(epoch)[number] for number in mine]),
            "target": torch.tensor([row.target for row in rows]),
            "partial": torch.tensor([row.partial for row in rows]),
            "weight": torch.tensor(weights),
        }

    def optimizers(self) -> list[Any]:
        """AdamW, body and head apart."""
        return [adamw(self.model, self._recipe.train, is_head)]

    def loss(self, model: Any, inputs: Inputs) -> Any:
        """See the module."""
        logits = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
        ).logits.float()
        logs = logits.log_softmax(dim=-1)
        target = inputs["target"]
        soft = -(target * logs).sum(dim=-1)
        allowed = -logs.masked_fill(target == 0, float("-inf")).logsumexp(dim=-1)
        return (allowed.where(inputs["partial"], soft) * inputs["weight"]).sum()

    def evaluate(self, model: Any, processes: Processes) -> Evaluation | None:
        """Macro-F1 of the dev records with one level, of the sources for stopping."""
        if not self._stop.rows:
            return None
        metrics = self._stop.measured(self._stop.logits(model, processes), 1.0)
        return Evaluation(metrics["macro_f1"], metrics)

    def save(self, folder: Path, processes: Processes) -> Finished | None:
        """Fit temperature and threshold; write model, tokenizer and `oa_chat.json`."""
        logits = self._dev.logits(self.model, processes) if self._dev.rows else None
        if processes.rank:
            return None
        model = merged(self.model)
        if logits is not None:
            shift = shifted(self._dev, logits, self._recipe.calibration)
            shift_head(model, shift)
            logits = logits + shift
        config, metrics = self._calibrated(logits)
        model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        write_guard_config(folder, config)
        card = "\n\n".join(
            [
                "Gives the newest user message one of five labels, in order of severity:",
                ", ".join(f"`{label}`" for label in LABELS),
                _INPUT.format(config.max_tokens, config.temperature),
                "## Results on the dev files",
                table(list(metrics.items())),
            ]
        )
        return Finished(metrics, card, {"pipeline_tag": "text-classification"})

    def _calibrated(self, logits: Any) -> tuple[GuardConfig, dict[str, float]]:
        temperature, flag_below = 1.0, 0.0
        metrics: dict[str, float] = {}
        if logits is not None:
            temperature, flag_below = fitted(self._dev, logits, self._recipe.calibration)
            numbers = self._dev.numbers(self._recipe.data.stop)
            part = self._dev.only(numbers)
            metrics = part.measured(logits[numbers], temperature)
            metrics["ece_uncalibrated"] = part.measured(logits[numbers], 1.0)["ece"]
        metrics.update(temperature=temperature, flag_below=flag_below)
        config = GuardConfig(
            max_tokens=self._ids.max_tokens,
            prompt_format="classifier",
            temperature=temperature,
            thresholds=Thresholds(flag_below=flag_below),
            closer_looks=self._recipe.model.closer_looks,
            labels=list(LABELS),
            general=self._recipe.general,
        )
        return config, metrics

    def _survey(self, read: Read) -> Survey:
        parts = Counter((row.source or "(no source)", _words(row)) for row in self._rows)
        left = read.unlabelled
        notes = [f"left out    {left} records without a label"] if left else []
        notes.append(f"dev         {len(self._dev.rows):,} records")
        table_rows = [Part(name, label, n) for (name, label), n in sorted(parts.items())]
        warnings = [f"no record is of the [[data.source]] {name}." for name in read.unused]
        return Survey(table_rows, self._lengths(0), notes, warnings)


def _harmless(
    rows: Sequence[Row], windows: Sequence[Sequence[Ids]], sources: Sequence[str]
) -> list[Ids]:
    """Token ids of casual messages that fit one window, of these sources."""
    return [
        inputs[0][1:-1]
        for row, inputs in zip(rows, windows, strict=True)
        if row.levels == {Severity.CASUAL}
        and len(inputs) == 1
        and not row.passage.context
        and any(fnmatchcase(row.source, name) for name in sources)
    ]


def _peak(row: Row) -> int:
    return max(range(len(row.target)), key=row.target.__getitem__)


def _words(row: Row) -> str:
    return (
        "several"
        if row.partial
        else LABELS[_peak(row)]
        .strip("_")
        .replace("_caution", "")
        .replace("needs_", "")
        .replace("_needs", "")
    )


def _class_weights(settings: LabelSettings, rows: Sequence[Row]) -> list[float]:
    if settings.weights != "balanced":
        return list(settings.weights) or [1.0] * len(LABELS)
    counts = Counter(_peak(row) for row in rows if not row.partial)
    total = sum(counts.values())
    return [(total / (len(LABELS) * max(1, counts[level]))) ** 0.5 for level in range(len(LABELS))]
