"""Kind "chat": a small causal model, from scratch or further: small talk, guidelines, rules.

Phases follow each other, each with its own files, weights, learning rate and loss. Everything that
is said in the files is rendered by the app's own code; rows of the held-out share are measured and
never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from converters.convert.guard_config import GuardConfig, write_guard_config
from converters.errors import DataError, RecipeError
from converters.train.bases import merged, scratch_size
from converters.train.card import table
from converters.train.chat_data import (
    Document,
    Format,
    document,
    fitted,
    held_out,
    read_talks,
    texts_of,
)
from converters.train.chat_dev import HeldOut, HeldOutSettings, perplexities
from converters.train.chat_model import (
    SIZES,
    ModelSettings,
    OptimizerSettings,
    causal_loss,
    open_chat_model,
    optimizers,
    tokenizer_of,
)
from converters.train.chat_tokens import ChatTokens, learned
from converters.train.files import Folders, data_files, telling
from converters.train.job import Evaluation, Finished, Inputs, Part, Processes, Stage, Survey
from converters.train.packing import Rounds, Source, tensors
from converters.train.schedule import rates
from converters.train.settings import Recipe, Schedule
from oa_chat.conversation import Message
from oa_chat.prompts import CHATML, ChatTemplate


class FileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[[phase.data]]``."""

    file: str
    weight: float = 1.0
    """How often each record comes in a round through the phase's data."""
    format: Format = "chat"
    """"rule" and "rule/level": records with a rule, as the rule writer is asked."""


class PhaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[[phase]]``."""

    data: list[FileSettings]
    name: str = ""
    steps: int = 0
    """Steps of the optimizer; 0: `rounds` through the data."""
    rounds: float = 1.0
    rate: float = 0.02
    end: float = 1.0
    """The share of the learning rate that is left at the end."""
    warmup: float = 0.0
    schedule: Schedule = "linear"
    loss: Literal["all", "assistant"] = "assistant"
    others: float = 0.0
    """With "assistant": the weight of what others say, falling to `others_end`."""
    others_end: float = 0.0
    system_share: float = 0.0
    """Of the records that begin with one of `systems`."""


class ChatRecipe(Recipe, frozen=True, kw_only=True):
    """The recipe. `train.batch` counts rows of `model.context` tokens."""

    phase: list[PhaseSettings]
    model: ModelSettings = ModelSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    systems: list[str] = msgspec.field(default_factory=list)
    """System prompts to begin with."""
    held_out: list[HeldOutSettings] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse a recipe without a phase."""
        if not self.phase or not all(phase.data for phase in self.phase):
            raise ValueError("there must be a [[phase]], each with [[phase.data]]")


RECIPE = ChatRecipe


def open_job(recipe: ChatRecipe, folders: Folders) -> ChatJob:
    """Read the data and make or open the model. Raises PipelineErrors."""
    return ChatJob(recipe, folders)


class ChatJob:
    """See `job.Job`."""

    def __init__(self, recipe: ChatRecipe, folders: Folders) -> None:
        self._recipe = recipe
        wanted = [one for phase in recipe.phase for one in phase.data]
        names = [one.file for one in wanted] + [one.file for one in recipe.held_out]
        self.files: Mapping[str, Path] = data_files(names, folders)
        self._tokens = ChatTokens(self._tokenizer(wanted))
        self._documents: dict[tuple[str, Format], list[Document]] = {}
        for one in wanted:
            if (one.file, one.format) not in self._documents:
                self._documents[one.file, one.format] = self._read(one)
        self._measured = self._held_out()
        lm = open_chat_model(recipe.base, recipe.model, recipe.lora, self._tokens)
        self.model = causal_loss(lm)
        self._rounds = [self._packed(number) for number in range(len(recipe.phase))]
        self.stages = self._stages()
        self.survey = self._survey()

    def _tokenizer(self, wanted: Sequence[FileSettings]) -> bytes:
        settings = self._recipe.model
        if not scratch_size(self._recipe.base, list(SIZES)):
            return tokenizer_of(self._recipe.base)
        if settings.tokenizer:
            return tokenizer_of(settings.tokenizer)
        telling("learning the tokenizer")
        unique = {(one.file, one.format): self.files[one.file] for one in wanted}
        texts = texts_of((path, form) for (_, form), path in unique.items())
        return learned(texts, settings.vocabulary, self._recipe.seed)

    def _read(self, one: FileSettings) -> list[Document]:
        telling(f"reading {one.file}")
        made: list[Document] = []
        for talk in read_talks(self.files[one.file], one.format):
            if not held_out(talk.key):
                whole = document(self._tokens, talk.segments)
                made += fitted(whole, self._recipe.model.context, self._tokens.start)
        if not made:
            raise DataError(f"{one.file} has nothing to train on.")
        return made

    def _held_out(self) -> list[HeldOut]:
        context = self._recipe.model.context
        return [
            HeldOut.read(one, self.files[one.file], self._tokens, context)
            for one in self._recipe.held_out
        ]

    def _packed(self, number: int) -> Rounds:
        phase = self._recipe.phase[number]
        template = ChatTemplate(CHATML)
        systems = [
            document(self._tokens, template.render([Message("system", text)], False).segments)
            for text in self._recipe.systems
        ]
        if phase.system_share and not systems:
            raise RecipeError("A phase has a system_share, and the recipe has no systems.")
        sources = [Source(self._documents[one.file, one.format], one.weight) for one in phase.data]
        seed = f"{self._recipe.seed}/{number}"
        context = self._recipe.model.context
        return Rounds(sources, context, seed, systems, phase.system_share)

    def _stages(self) -> list[Stage]:
        train = self._recipe.train
        left = train.max_steps or 2**62
        stages = []
        for number, phase in enumerate(self._recipe.phase):
            size = train.batch * train.accumulation
            rows = phase.rounds * self._rounds[number].round_size()
            steps = min(left, phase.steps or max(1, round(rows / size)))
            left -= steps
            if steps:
                stages.append(self._stage(number, steps))
        return stages

    def _stage(self, number: int, steps: int) -> Stage:
        phase, train = self._recipe.phase[number], self._recipe.train
        factor = rates(phase.schedule, steps, phase.warmup, phase.end)
        size = train.batch * train.accumulation

        def inputs(step: int, rank: int, count: int) -> Sequence[Inputs]:
            rows = self._rounds[number].rows(step * size, size)
            others = _others(phase, step / steps)
            context, pad = self._recipe.model.context, self._tokens.end
            whole = tensors(rows, context, pad, others)
            total = float(whole["weights"].sum()) or 1.0
            made = []
            for at in range(0, size, train.batch):
                mine = rows[at : at + train.batch][rank::count]
                empty = not mine
                part = tensors(mine or rows[:1], context, pad, others)
                part["weights"] = part["weights"] * (0.0 if empty else 1 / total)
                made.append(part)
            return made

        name = phase.name or f"phase {number + 1}"
        return Stage(name, steps, lambda s: phase.rate * factor(s), inputs, train.evaluate_every)

    def optimizers(self) -> list[Any]:
        """Muon and AdamW, or AdamW alone."""
        return optimizers(self.model, self._recipe.optimizer, self._recipe.train)

    def loss(self, model: Any, inputs: Inputs) -> Any:
        """Cross-entropy by weight, over the weights of the whole step."""
        return model(**inputs)

    def evaluate(self, model: Any, processes: Processes) -> Evaluation | None:
        """Perplexity of the assistant's tokens in each held-out set."""
        if not self._measured:
            return None
        metrics = perplexities(model, self._measured, self._tokens.end, processes)
        return Evaluation(-metrics["loss"], metrics)

    def save(self, folder: Path, processes: Processes) -> Finished | None:
        """Write model, tokenizer and `oa_chat.json`."""
        metrics = {}
        if self._measured:
            metrics = perplexities(self.model, self._measured, self._tokens.end, processes)
        if processes.rank:
            return None
        lm = merged(self.model.lm)
        lm.generation_config.eos_token_id = self._tokens.end
        lm.save_pretrained(folder)
        self._tokens.save(folder)
        forms = {one.format for phase in self._recipe.phase[-1:] for one in phase.data}
        rule = sorted(forms - {"chat"})
        config = GuardConfig(
            max_tokens=self._recipe.model.context,
            prompt_format=rule[-1].replace("rule", "rule-writer") if rule else "chatml",
            general=self._recipe.general,
        )
        write_guard_config(folder, config)
        parts = [
            "## Held-out perplexity",
            "Per token of what the assistant says, the end mark included.",
            table(list(metrics.items())),
            "## Phases",
            table([(stage.name, f"{stage.steps} steps") for stage in self.stages]),
        ]
        return Finished(metrics, "\n\n".join(parts), {"pipeline_tag": "text-generation"})

    def _survey(self) -> Survey:
        parts = [
            Part(file, form, len(documents)) for (file, form), documents in self._documents.items()
        ]
        lengths = [len(one.ids) for documents in self._documents.values() for one in documents]
        notes = [f"held out    {sum(len(one.documents) for one in self._measured):,} records"]
        return Survey(parts, lengths, notes)


def _others(phase: PhaseSettings, done: float) -> float:
    """The weight of what the assistant does not say, at a share of the phase."""
    if phase.loss == "all":
        return 1.0
    return phase.others + (phase.others_end - phase.others) * done
