"""What a recipe may say, and how it is told when it is wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import converters
from converters.errors import DataError, RecipeError, TrainingError
from converters.recipe import find_recipe
from converters.train.files import Folders, data_files
from converters.train.kinds import read_recipe
from converters.train.settings import TrainSettings
from tests.converters.train.small import (
    CHAT,
    CLASSIFIER,
    SEQ2SEQ,
    data_folder,
    records,
    train,
    write_lines,
)

RECIPES = Path(converters.__file__).parent / "recipes"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("guard-minilm", "classifier"),
        ("starter-chat", "chat"),
        ("rule-writer", "chat"),
        ("t5-narrow", "seq2seq"),
    ],
)
def test_the_recipes_of_the_project_can_be_read(name: str, kind: str) -> None:
    recipe, module = read_recipe(RECIPES / f"{name}.toml", ["train.max_steps=3"])
    assert recipe.kind == kind
    assert recipe.train.max_steps == 3
    assert type(recipe) is module.RECIPE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nbach = 3", "Did you mean train.batch?"),
        ("[[data.source]]\nwieght = 3", "Did you mean data.source.weight?"),
        ("[calibration]\nthreshold = 'best'", "none, f1, false_alarms"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_what_is_known(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "recipe.toml"
    data = 'data.train = ["x"]' if "data" not in text else ""
    path.write_text(f'kind = "classifier"\nout = "o"\nbase = "b"\n{data}\n{text}\n')
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, [])
    assert said in caught.value.hint
    assert "recipe.toml, line" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "batch = 0",
        "rate = -1.0",
        "ema = 1.0",
        "layer_decay = 0.0",
        "epochs = 0",
        "log_every = 0",
    ],
)
def test_numbers_that_mean_nothing_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'kind = "classifier"\nout = "o"\nbase = "b"\n[data]\ntrain = []\n[train]\n{text}'
    )
    with pytest.raises(RecipeError):
        read_recipe(path, [])


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('kind = "clasifier"')
    with pytest.raises(RecipeError, match="no kind 'clasifier'") as caught:
        read_recipe(path, [])
    assert "classifier, seq2seq, chat" in caught.value.hint
    assert read_recipe(RECIPES / "t5-narrow.toml", ["kind=seq2seq"])[0].kind == "seq2seq"


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("scratch:huge", "tiny, mini, small, base"),
        ("nowhere", "scratch:SIZE"),
        ("nobody/nothing", "whether the hub can be reached"),
    ],
)
def test_a_base_that_cannot_be_had(tmp_path: Path, base: str, said: str) -> None:
    with pytest.raises((RecipeError, TrainingError)) as caught:
        train(tmp_path, CLASSIFIER, f"base={base}")
    assert said in caught.value.hint


@pytest.mark.parametrize("recipe", [CLASSIFIER, SEQ2SEQ, CHAT], ids=["guard", "t5", "chat"])
def test_a_base_that_is_no_model(tmp_path: Path, recipe: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    with pytest.raises((RecipeError, TrainingError)) as caught:
        train(tmp_path, recipe, f"base={base}")
    assert str(base) in caught.value.message
    assert caught.value.hint


def test_a_path_with_data_needs_the_folder(tmp_path: Path) -> None:
    from converters.train.run import Wanted, run

    path = tmp_path / "recipe.toml"
    path.write_text(CLASSIFIER)
    with pytest.raises(RecipeError) as caught:
        run(Wanted(path, (f"out={tmp_path / 'out'}",)))
    assert caught.value.hint == "Say where the data lies: --data FOLDER"
    with pytest.raises(DataError, match="There is no file"):
        run(Wanted(path, (f"out={tmp_path / 'out'}",), tmp_path))


def test_unlabelled_and_empty_data_is_refused(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    write_lines(data / "records.jsonl", [{"text": "Hello."}, {"text": "Good day.", "labels": []}])
    with pytest.raises(DataError, match="no record with a label"):
        train(tmp_path, CLASSIFIER, data=data)
    write_lines(data / "records.jsonl", [])
    with pytest.raises(DataError, match=r"records\.jsonl has no record"):
        train(tmp_path, CLASSIFIER, data=data)
    write_lines(data / "talks.jsonl", [{"messages": [{"role": "user", "content": "Hi"}]}])
    with pytest.raises(DataError, match="has no conversation"):
        train(tmp_path, CHAT, data=data)


def test_dev_sources_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train(tmp_path, CLASSIFIER, 'data.stop=["gone"]')
    assert caught.value.hint == "Sources in the dev files: even, odd."


def test_a_rule_for_no_source_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = """
[[data.source]]
name = "evne"
[[data.source]]
name = "odd"
"""
    train(tmp_path, CLASSIFIER + rules, "train.max_steps=1")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Note: ")]
    assert told == ["Note: no record is of the [[data.source]] evne (kind *)."]


def test_files_are_found_beside_the_recipe(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "away")
    folder = tmp_path / "recipes"
    (folder / "own").mkdir(parents=True)
    write_lines(folder / "own" / "records.jsonl", records())
    recipe = CLASSIFIER.replace("{data}/records", "own/records")
    out = train(folder, recipe, "train.max_steps=1", data=data)
    assert list(json.loads((out / "data.json").read_text())) == [
        "own/records.jsonl",
        "{data}/dev.jsonl",
    ]


def test_a_recipe_that_ships_is_found_by_its_name() -> None:
    for path in RECIPES.glob("*.toml"):
        key = "kind" if tomllib.loads(path.read_text()).get("kind") else "source"
        assert find_recipe(path.stem, key) == path
        with pytest.raises(RecipeError):
            find_recipe(path.stem, {"kind": "source", "source": "kind"}[key])
    with pytest.raises(RecipeError) as caught:
        find_recipe("guard-minlm", "kind")
    assert "Did you mean guard-minilm?" in caught.value.hint


def test_the_second_messages_of_the_project_are_in_its_guard() -> None:
    recipe: Any = read_recipe(RECIPES / "guard-minilm.toml", [])[0]
    names = [name for name in [*recipe.data.train, *recipe.data.dev] if "{" not in name]
    assert names == ["written/train.jsonl.gz", "written/dev.jsonl.gz"]
    files = data_files(names, Folders(recipe=RECIPES))
    assert all(path.parent == RECIPES / "written" for path in files.values())


def test_the_defaults_are_sound() -> None:
    settings = TrainSettings()
    assert settings.batch > 0
    assert settings.bf16 == "auto"
