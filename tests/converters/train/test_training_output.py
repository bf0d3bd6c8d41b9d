"""What lies in the folder after a training, and what a dry run says."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from converters.provenance import sha256_of
from oa_chat.cli import run as cli
from tests.converters.train.small import CHAT, CLASSIFIER, SEQ2SEQ, data_folder, losses, train


def test_recipe_and_hashes_lie_beside_the_model(guard: Path) -> None:
    recipe = json.loads((guard / "recipe.json").read_text())
    assert recipe["train"]["batch"] == 8
    assert recipe["train"]["clip"] == 1.0, "defaults are filled in"
    assert recipe["data"]["train"] == ["{data}/records.jsonl"], "no path of this machine"
    hashes = json.loads((guard / "data.json").read_text())
    data = guard.parent / "data"
    assert hashes == {
        "{data}/dev.jsonl": sha256_of(data / "dev.jsonl"),
        "{data}/records.jsonl": sha256_of(data / "records.jsonl"),
    }


def test_the_history_has_every_step_and_evaluation(guard: Path) -> None:
    rows = [json.loads(line) for line in (guard / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 91))
    assert [row["step"] for row in rows if "metrics" in row] == [30, 60, 90]
    rates = [row["rate"] for row in rows if "rate" in row]
    assert max(rates) == pytest.approx(4e-3, rel=0.02)
    assert losses(guard)[-1] < losses(guard)[0] / 2


def test_the_best_weights_are_the_ones_that_are_kept(guard: Path) -> None:
    rows = [json.loads(line) for line in (guard / "history.jsonl").read_text().splitlines()]
    scores = {row["step"]: row["metrics"]["score"] for row in rows if "metrics" in row}
    found = json.loads((guard / "metrics.json").read_text())
    assert found["best_step"] == max(scores, key=lambda step: (scores[step], -step))
    assert found["macro_f1"] == pytest.approx(max(scores.values()))


@pytest.mark.parametrize("kind", ["guard", "chat", "t5"])
def test_card_plot_and_logs(kind: str, request: pytest.FixtureRequest) -> None:
    out: Path = request.getfixturevalue(kind)
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "transformers"
    assert "oa-chat" in (card.data.tags or [])
    assert "| --- |" not in card.text
    assert "`{data}/" in card.text
    assert str(out.parent) not in card.content
    data = (out / "loss.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert width > height > 300
    (events,) = (out / "logs").glob("events.out.tfevents.*")
    assert b"loss" in events.read_bytes()


def test_tensorboard_can_be_left_out(tmp_path: Path) -> None:
    out = train(tmp_path, CLASSIFIER, "train.max_steps=1", "train.tensorboard=false", "data.dev=[]")
    assert not (out / "logs").exists()
    assert (out / "model.safetensors").exists()


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    runs = [
        train(tmp_path / name, CLASSIFIER, "train.max_steps=3", f"seed={seed}")
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    ]
    one, two, other = (sha256_of(out / "model.safetensors") for out in runs)
    assert one == two
    assert other != one


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (CLASSIFIER, ["even", "odd", "several", "records     30", "steps       12 of 8 records"]),
        (SEQ2SEQ, ["needs caution", "records     26", "left out    4 records"]),
        (CHAT, ["{data}/talks.jsonl", "rule/level", "held out    "]),
    ],
    ids=["guard", "t5", "chat"],
)
def test_a_dry_run_counts_and_estimates(
    tmp_path: Path, recipe: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_folder(tmp_path / "data")
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    out = tmp_path / "out"
    code = cli(["train", str(path), "--data", str(data), "--out", str(out), "--dry-run"])
    told = capsys.readouterr().out
    assert code == 0
    for text in [*said, "50 %:", "longest:", "parameters", "GiB", "s a step"]:
        assert text in told
    assert not out.exists()


def test_the_command_prints_the_folder_and_tells_the_rest_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_folder(tmp_path / "data")
    path = tmp_path / "recipe.toml"
    path.write_text(CLASSIFIER)
    out = tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--max-steps", "2", "--seed", "3"]
    assert cli(["train", str(path), *options, "train.batch=4"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}\n"
    assert "step 2/2: loss " in told.err
    assert "macro_f1" in told.err
    assert len(losses(out)) == 2
    assert cli(["train", str(path), *options]) == 9
    assert "--resume auto" in capsys.readouterr().err
    assert cli(["train", str(path), *options, "--fresh"]) == 0
