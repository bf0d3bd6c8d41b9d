"""Runs a job: steps, rates, evaluations, checkpoints, an early end. The same for every kind.

What a step computes depends on seed and step alone (the random numbers of torch are seeded anew for
each step), so that a training that was interrupted goes on as if nothing had been. It does not know
what is trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import TrainingError
from converters.train.checkpoints import Checkpoints, LoopState
from converters.train.interrupts import Interrupt
from converters.train.job import Job, Stage
from converters.train.journal import Journal
from converters.train.machine import Machine
from converters.train.settings import TrainSettings


class Interrupted(Exception):
    """A signal came; the checkpoint is written."""

    def __init__(self, signal: int, step: int) -> None:
        super().__init__(signal, step)
        self.signal = signal
        self.step = step


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are and what marks this training."""

    out: Path
    fingerprint: str
    seed: int


class Loop:
    """One run of a job's stages, from the start or from a checkpoint."""

    def __init__(self, job: Job, settings: TrainSettings, machine: Machine, place: Place) -> None:
        self._job = job
        self._settings = settings
        self._machine = machine
        self._place = place
        self._checkpoints = Checkpoints(place.out)
        self._state = LoopState(fingerprint=place.fingerprint)
        self._total = sum(stage.steps for stage in job.stages)
        self._model = machine.wrap(job.model)
        self._optimizers = job.optimizers()
        self._mean = self._weights(copy=True) if settings.ema else {}
        self._pending: list[tuple[Any, float]] = []
        self._saved = -1

    @property
    def best(self) -> LoopState:
        """Where the loop is."""
        return self._state

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint. Raises TrainingError."""
        state, parts = self._checkpoints.load(path, self._place.fingerprint)
        self._job.model.load_state_dict(parts["model"])
        for optimizer, saved in zip(self._optimizers, parts["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for name, value in parts["mean"].items():
            self._mean[name].copy_(value)
        self._state = state
        self._saved = state.step

    def run(self, interrupt: Interrupt) -> LoopState:
        """Train to the end, and leave the model with its best weights."""
        state = self._state
        first = self._machine.rank == 0
        with (
            Journal(
                self._place.out,
                self._total,
                tensorboard=self._settings.tensorboard and first,
                first=state.step,
            )
            if first
            else _Silence() as journal
        ):
            self._model.train()
            try:
                self._steps(interrupt, journal)
            except BaseException:
                self._pending.clear()
                raise
            self._flush(journal)
            if not self._evaluated_at(state.step):
                self._evaluate(journal)
            if self._saved != state.step:
                self._save()
        self._choose_weights()
        return state

    def _steps(self, interrupt: Interrupt, journal: Any) -> None:
        state, settings = self._state, self._settings
        while state.step < self._total and not self._enough():
            stage, inner = self._stage(state.step)
            self._step(stage, inner)
            state.step += 1
            if state.step % settings.log_every == 0:
                self._flush(journal)
            if _due(stage, inner + 1):
                self._flush(journal)
                self._evaluate(journal)
            stop = self._machine.any(bool(interrupt.number))
            if stop or state.step % settings.save_every == 0:
                self._flush(journal)
                self._save()
                journal.flush()
            if stop:
                raise Interrupted(interrupt.number, state.step)

    def _step(self, stage: Stage, inner: int) -> None:
        """One step of the optimizers."""
        import torch

        machine = self._machine
        torch.manual_seed(_mixed(self._place.seed, self._state.step, machine.rank))
        rate = 0.0
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * stage.rate(inner)
                rate = max(rate, group["lr"])
        micros = stage.batches(inner, machine.rank, machine.count)
        total = torch.zeros((), device=machine.device)
        for number, micro in enumerate(micros, start=1):
            with machine.unsynchronised(self._model, number < len(micros)):
                with machine.autocast():
                    loss = self._job.loss(self._model, machine.moved(micro))
                (loss * machine.count).backward()
            total += loss.detach().float()
        self._clip()
        for optimizer in self._optimizers:
            optimizer.step()
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        self._average()
        self._pending.append((total, rate))

    def _clip(self) -> None:
        if self._settings.clip:
            import torch

            parameters = [p for p in self._job.model.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(parameters, self._settings.clip)

    def _average(self) -> None:
        if self._mean:
            # Shorter at first, or the first steps would weigh for too long.
            decay = min(self._settings.ema, (1 + self._state.step) / (10 + self._state.step))
            for name, value in self._weights().items():
                mean = self._mean[name]
                if value.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)

    def _flush(self, journal: Any) -> None:
        """Tell the losses since the last time. Raises TrainingError if they are no numbers."""
        if not self._pending:
            return
        import torch

        losses = self._machine.total(torch.stack([loss for loss, _ in self._pending])).tolist()
        first = self._state.step - len(losses) + 1
        rates = [rate for _, rate in self._pending]
        self._pending.clear()
        for number, loss in enumerate(losses, start=first):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The loss of step {number} is {loss}: the training has gone astray.",
                    "Lower train.rate, lengthen train.warmup, set train.clip=1.0"
                    " or train.bf16=false. An earlier checkpoint, if there is one, is kept.",
                )
        journal.steps(first, losses, rates)

    def _evaluated_at(self, step: int) -> bool:
        stage, inner = self._stage(step - 1) if step else (self._job.stages[0], -1)
        return _due(stage, inner + 1)

    def _evaluate(self, journal: Any) -> None:
        state = self._state
        raw = self._use(self._mean)
        self._model.eval()
        with self._machine.autocast():
            found = self._job.evaluate(self._job.model, self._machine)
        self._model.train()
        if found is not None:
            better = found.score > state.best_score or not state.best_step
            if better:
                state.best_score, state.best_step = found.score, state.step
                state.best_metrics = dict(found.metrics)
                if self._machine.rank == 0 and self._settings.keep_best:
                    self._checkpoints.save_best(state.step, self._weights())
            state.since_best = 0 if better else state.since_best + 1
            journal.evaluation(state.step, {"score": found.score, **found.metrics}, better)
        self._use(raw)

    def _enough(self) -> bool:
        patience = self._settings.patience
        return bool(patience) and self._state.since_best >= patience

    def _save(self) -> None:
        self._saved = self._state.step
        if self._machine.rank == 0:
            parts = {
                "model": self._weights(),
                "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
                "mean": self._mean,
            }
            self._checkpoints.save(self._state, parts)
        self._machine.wait()

    def _choose_weights(self) -> None:
        """The best weights, else the running mean, else the last ones."""
        if self._settings.keep_best and self._state.best_step:
            self._machine.wait()
            self._use(self._checkpoints.load_best(self._state.best_step))
        else:
            self._use(self._mean)
        self._model.eval()

    def _weights(self, copy: bool = False) -> dict[str, Any]:
        weights = self._job.model.state_dict()
        return {name: w.clone() if copy else w for name, w in weights.items()}

    def _use(self, weights: dict[str, Any]) -> dict[str, Any]:
        """Put weights into the model; a copy of those it had. Nothing for no weights."""
        if not weights:
            return {}
        before = self._weights(copy=True)
        self._job.model.load_state_dict(weights)
        return before

    def _stage(self, step: int) -> tuple[Stage, int]:
        for stage in self._job.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError(step)


def _due(stage: Stage, done: int) -> bool:
    """Whether an evaluation comes after this many steps of a stage."""
    every = stage.evaluate_every
    return done == stage.steps or bool(every and done > 0 and done % every == 0)


def _mixed(seed: int, step: int, rank: int) -> int:
    """Numbers that do not meet each other for neighbouring seeds and steps."""
    return (seed * 1_000_003 + step) * 1_009 + rank


class _Silence:
    """The journal of the other processes."""

    def __enter__(self) -> _Silence:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None
