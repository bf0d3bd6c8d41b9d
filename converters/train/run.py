"""`oa-chat train`: recipe, data and model together, the loop, and what lies in the folder after it.

    out/  the model (config.json, model.safetensors, tokenizer), oa_chat.json, README.md,
          recipe.json (with the defaults filled in), data.json (hashes), metrics.json,
          history.jsonl, loss.png, logs/ (TensorBoard), checkpoints/

What is trained is the kind's matter (`kinds`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from converters.errors import TrainingError
from converters.extras import require
from converters.locking import locked
from converters.provenance import replacing
from converters.train.card import write_card
from converters.train.checkpoints import Checkpoints, LoopState
from converters.train.files import Folders, hashes
from converters.train.interrupts import interrupts
from converters.train.job import Finished, Job
from converters.train.journal import HISTORY, plot
from converters.train.kinds import read_recipe
from converters.train.loop import Loop, Place
from converters.train.machine import Machine, explained_memory, first_process
from converters.train.settings import Recipe
from oa_chat.printable import printable


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says."""

    recipe: Path
    overrides: Sequence[str] = ()
    data: Path | None = None
    dry_run: bool = False
    resume: str = "no"
    """"no", "auto" or the path of a checkpoint."""
    fresh: bool = False


def run(wanted: Wanted) -> None:
    """Train, or with `dry_run` only say what would be done. Raises PipelineErrors, Interrupted."""
    require("train", "torch", "transformers", "accelerate", "tensorboard", "matplotlib")
    _quiet()
    recipe, kind = read_recipe(wanted.recipe, wanted.overrides)
    out = Path(recipe.out)
    with contextlib.nullcontext() if wanted.dry_run else _alone(out):
        checkpoint = None if wanted.dry_run else _checkpoint(wanted, out)
        machine = Machine(recipe.train)
        try:
            _seed(recipe.seed)
            with explained_memory(recipe.train):
                job = kind.open_job(recipe, Folders(wanted.data, wanted.recipe.parent))
                _warn(job, machine)
                if wanted.dry_run:
                    from converters.train.estimate import print_estimate

                    print_estimate(job, recipe.train, machine)
                else:
                    _train(job, recipe, machine, checkpoint)
        finally:
            machine.close()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps a second training out of the folder. The first of several processes holds the lock."""
    if not first_process():
        yield
        return
    folder = out / "checkpoints"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"The folder {out} cannot be made: {error.strerror}.", "Choose another: out=FOLDER."
        ) from error
    with (folder / "lock").open("ab") as stream:
        if not locked(stream):
            raise TrainingError(
                f"Another training is at work in {out}.",
                "Wait for it, or choose another: out=NAME.",
            )
        yield


def _warn(job: Job, machine: Machine) -> None:
    if machine.rank == 0:
        for text in job.survey.warnings:
            _say(f"Note: {printable(text)}")


def _train(job: Job, recipe: Recipe, machine: Machine, checkpoint: Path | None) -> None:
    out = Path(recipe.out)
    data = hashes(job.files)
    if machine.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / "recipe.json", recipe)
        _write(out / "data.json", data)
        _say(f"{sum(stage.steps for stage in job.stages)} steps on {machine.words}")
    loop = Loop(job, recipe.train, machine, Place(out, _fingerprint(recipe, data), recipe.seed))
    if checkpoint:
        loop.resume(checkpoint)
        if machine.rank == 0:
            _say(f"going on from step {loop.best.step}")
    with interrupts() as interrupt:
        state = loop.run(interrupt)
    finished = job.save(out, machine)
    if finished is not None:
        _finish(out, recipe, finished, state, list(data))
    machine.wait()  # a process that leaves early takes the connection from the others


def _finish(
    out: Path, recipe: Recipe, finished: Finished, state: LoopState, files: list[str]
) -> None:
    """What lies beside the model."""
    summary = {"best_step": state.best_step, "dev": state.best_metrics, **finished.metrics}
    _write(out / "metrics.json", summary)
    plot(out)
    write_card(out, recipe, finished, files)
    click.echo(str(out))


def _checkpoint(wanted: Wanted, out: Path) -> Path | None:
    """The checkpoint to go on from. Raises TrainingError where a training lies in the way."""
    checkpoints = Checkpoints(out)
    newest = checkpoints.newest()
    if wanted.fresh:
        if first_process():
            checkpoints.clear()
            (out / HISTORY).unlink(missing_ok=True)
        return None
    if wanted.resume == "auto":
        return newest
    if wanted.resume != "no":
        path = Path(wanted.resume)
        if not path.is_file():
            raise TrainingError(
                f"There is no checkpoint {path}.", "--resume auto finds the newest."
            )
        return path
    if newest is not None:
        raise TrainingError(
            f"{out} holds a training already ({newest.name}).",
            "Go on with it: --resume auto. Begin again: --fresh. Another folder: out=NAME.",
        )
    return None


def _fingerprint(recipe: Recipe, data: Mapping[str, str]) -> str:
    """Changes with everything that changes the losses, and with nothing else."""
    told = msgspec.to_builtins(recipe)
    for key in ("out", "general", "calibration"):
        told.pop(key, None)
    for key in _HARMLESS:
        told["train"].pop(key, None)
    text = msgspec.json.encode([told, data], order="sorted")
    return hashlib.sha256(text).hexdigest()


_HARMLESS = ("save_every", "log_every", "tensorboard", "threads", "patience", "keep_best")


def _seed(seed: int) -> None:
    import numpy as np
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def _quiet() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _write(path: Path, value: Any) -> None:
    with replacing(path) as part:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _say(text: str) -> None:
    click.echo(text, err=True)
