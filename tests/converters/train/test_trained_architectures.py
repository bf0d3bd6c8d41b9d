"""A checkpoint of each architecture takes two steps of training and becomes a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from converters.convert.convert import Options
from converters.convert.run import run as convert
from oa_chat.engine.gguf_header import read_header
from tests.converters.convert import checkpoints
from tests.converters.train.small import CLASSIFIER, SEQ2SEQ, losses, train


def modern_bert_of_the_first_token(folder: Path) -> Path:
    return checkpoints.modern_bert(folder, pooling="cls")


def flan(folder: Path) -> Path:
    return checkpoints.t5(folder, gated=True, marks=())


@pytest.mark.parametrize(
    ("made", "recipe"),
    [
        (checkpoints.roberta, CLASSIFIER),
        (checkpoints.xlm_roberta, CLASSIFIER),
        (modern_bert_of_the_first_token, CLASSIFIER),
        (flan, SEQ2SEQ),
        (checkpoints.mt5, SEQ2SEQ),
        (checkpoints.byt5, SEQ2SEQ),
    ],
    ids=["roberta", "xlm-r", "modernbert", "flan", "mt5", "byt5"],
)
def test_it_is_trained_and_converted(
    tmp_path: Path, made: Callable[[Path], Path], recipe: str
) -> None:
    base = made(tmp_path / "base")
    out = train(tmp_path, recipe, f"base={base}", "train.max_steps=2")
    assert len(losses(out)) == 2
    kind = json.loads((base / "config.json").read_text())["architectures"]
    assert json.loads((out / "config.json").read_text())["architectures"] == kind
    target = tmp_path / "out.gguf"
    convert(out, target, Options("f32", None, True, None), None)
    values = read_header(target).values
    assert values["oa_chat.verified"] is True
    assert (
        values["oa_chat.max_tokens"] == json.loads((out / "oa_chat.json").read_text())["max_tokens"]
    )
