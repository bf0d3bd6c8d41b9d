"""Several processes and several trainings: what they share, and what they keep from each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import converters
from converters.errors import TrainingError
from converters.locking import locked
from tests.converters.train.small import CLASSIFIER, data_folder, losses, train

ROOT = Path(converters.__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
STEPS = "train.max_steps=4"
DROPOUT = [f"model.{name}dropout=0.0" for name in ("", "attention_", "head_")]


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    one = train(tmp_path / "one", CLASSIFIER, STEPS, *DROPOUT)
    recipe, out = tmp_path / "recipe.toml", tmp_path / "two"
    recipe.write_text(CLASSIFIER)
    data = data_folder(tmp_path / "data")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["-m", "oa_chat", "train", str(recipe), "--data", str(data), "--out", str(out)]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", *command, STEPS, *DROPOUT],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stderr
    assert "destroy_process_group" not in done.stderr, "the group is left in order"
    assert done.stdout.count(str(out)) == 1, "only the first process tells"
    assert losses(out) == pytest.approx(losses(one), rel=1e-4)


def test_two_trainings_do_not_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.locking._PATIENCE", 0.1)
    folder = tmp_path / "out" / "checkpoints"
    folder.mkdir(parents=True)
    with (folder / "lock").open("ab") as other:
        assert locked(other)
        with pytest.raises(TrainingError, match="Another training is at work"):
            train(tmp_path, CLASSIFIER, STEPS, fresh=True)
        assert not (tmp_path / "out" / "recipe.json").exists()
    assert len(losses(train(tmp_path, CLASSIFIER, STEPS))) == 4


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("A letter.")
    with pytest.raises(TrainingError, match="cannot be made") as caught:
        train(tmp_path, CLASSIFIER, STEPS)
    assert "out=FOLDER" in caught.value.hint
    assert (tmp_path / "out").read_text() == "A letter."
