"""A training that was interrupted goes on as if nothing had been; what goes wrong is told."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import converters.train.run as training
from converters.errors import TrainingError
from converters.train.loop import Interrupted
from converters.train.machine import explained_memory
from converters.train.settings import TrainSettings
from tests.converters.train.small import (
    CHAT,
    CLASSIFIER,
    SEQ2SEQ,
    data_folder,
    losses,
    train,
)

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


class _After:
    """A signal that comes after some steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @property
    def number(self) -> int:
        self._left -= 1
        return signal.SIGTERM if self._left < 0 else 0


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the next training be interrupted after so many steps."""

    def arm(steps: int) -> None:
        @contextmanager
        def interrupts() -> Iterator[Any]:
            monkeypatch.undo()
            yield _After(steps - 1)

        monkeypatch.setattr(training, "interrupts", interrupts)

    return arm


@pytest.mark.parametrize("recipe", [CLASSIFIER, SEQ2SEQ, CHAT], ids=["guard", "t5", "chat"])
def test_going_on_gives_the_losses_of_a_straight_run(
    tmp_path: Path, recipe: str, stops: Any
) -> None:
    straight = train(tmp_path / "straight", recipe)
    stops(5)
    with pytest.raises(Interrupted):
        train(tmp_path / "other", recipe)
    other = train(tmp_path / "other", recipe, resume="auto")
    assert losses(other) == losses(straight)
    for name in ("model.safetensors", "history.jsonl", "README.md", "oa_chat.json", "metrics.json"):
        assert (other / name).read_bytes() == (straight / name).read_bytes()


def test_a_finished_training_has_nothing_left_to_do(tmp_path: Path) -> None:
    out = train(tmp_path, CLASSIFIER, "train.max_steps=2")
    before = (out / "model.safetensors").read_bytes()
    train(tmp_path, CLASSIFIER, "train.max_steps=2", resume="auto")
    assert (out / "model.safetensors").read_bytes() == before
    assert len(losses(out)) == 2


def test_a_training_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    train(tmp_path, CLASSIFIER, "train.max_steps=2")
    with pytest.raises(TrainingError, match="holds a training already") as caught:
        train(tmp_path, CLASSIFIER, "train.max_steps=2")
    assert "--fresh" in caught.value.hint
    with pytest.raises(TrainingError, match="recipe or data have changed"):
        train(tmp_path, CLASSIFIER, "train.max_steps=2", "train.rate=0.5", resume="auto")
    out = train(tmp_path, CLASSIFIER, "train.max_steps=3", fresh=True)
    assert len(losses(out)) == 3


def test_a_broken_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    out = train(tmp_path, CLASSIFIER, "train.max_steps=2")
    (checkpoint,) = (out / "checkpoints").glob("step-*.pt")
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (ran,))

    for data in (b"no checkpoint", pickle.dumps(Evil())):
        checkpoint.write_bytes(data)
        with pytest.raises(TrainingError, match="cannot be read"):
            train(tmp_path, CLASSIFIER, "train.max_steps=2", resume="auto")
    torch.save({"state": Evil()}, checkpoint)
    with pytest.raises(TrainingError, match="cannot be read"):
        train(tmp_path, CLASSIFIER, "train.max_steps=2", resume=str(checkpoint))
    assert not ran.exists()
    with pytest.raises(TrainingError, match="no checkpoint"):
        train(tmp_path, CLASSIFIER, resume=str(tmp_path / "gone.pt"))


def test_pickles_in_a_base_are_not_loaded(guard: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for path in guard.glob("*.*"):
        if path.is_file():
            (base / path.name).write_bytes(path.read_bytes())
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (ran,))

    (base / "training_args.bin").write_bytes(pickle.dumps(Evil()))
    train(tmp_path, CLASSIFIER, f"base={base}", "train.max_steps=1")
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(TrainingError, match="cannot be loaded"):
        train(tmp_path, CLASSIFIER, f"base={base}", "train.max_steps=1", fresh=True)
    assert not ran.exists()


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has gone astray") as caught:
        train(tmp_path, CLASSIFIER, "train.rate=1e30", "train.clip=0.0", "train.warmup=0.0")
    assert "train.rate" in caught.value.hint
    assert not list((tmp_path / "out").glob("checkpoints/step-*.pt"))


def test_early_stopping(tmp_path: Path) -> None:
    out = train(
        tmp_path,
        CLASSIFIER,
        "train.max_steps=50",
        "train.evaluate_every=2",
        "train.patience=2",
        "train.rate=0.0",
    )
    assert len(losses(out)) == 6, "the first evaluation stays the best, two more were not better"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_full_memory_says_what_to_lower(error: Exception) -> None:
    settings = TrainSettings(batch=32, accumulation=2)
    with pytest.raises(TrainingError) as caught, explained_memory(settings):
        raise error
    assert "train.batch=16 train.accumulation=4" in caught.value.hint


def test_memory_that_is_really_full(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="memory is full"), explained_memory(TrainSettings()):
        torch.empty(2**50)


def _command(folder: Path, *more: str) -> list[str]:
    recipe = folder / "recipe.toml"
    recipe.write_text(CLASSIFIER)
    data = data_folder(folder / "data")
    out = folder / "out"
    return ["train", str(recipe), "--data", str(data), "--out", str(out), *more]


def test_sigterm_writes_a_checkpoint_and_ends_with_143(tmp_path: Path) -> None:
    steps = ("--max-steps", "160", "train.evaluate_every=160")
    command = _command(tmp_path, *steps)
    with subprocess.Popen(
        [sys.executable, "-m", "oa_chat", *command],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step "):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
        assert process.wait(30) == 143
    assert "the checkpoint is written. Go on with --resume auto." in rest
    (checkpoint,) = (tmp_path / "out" / "checkpoints").glob("step-*.pt")
    done = int(checkpoint.stem.removeprefix("step-"))
    assert 0 < done < 160
    overrides = ("train.max_steps=160", "train.evaluate_every=160")
    out = train(tmp_path, CLASSIFIER, *overrides, data=tmp_path / "data", resume="auto")
    assert losses(out) == losses(
        train(tmp_path / "straight", CLASSIFIER, *overrides, data=tmp_path / "data")
    )
