"""Constants of the levels are found again where they are known, and land in the model's head."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from converters.train.calibration import probabilities
from converters.train.shifting import casual_shift, severe_shift
from tests.converters.train.small import CLASSIFIER, train


def drawn(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(2)
    honest = chance.normal(size=(rows, 5))
    honest[:, 0] = -20  # all of them flagged
    labels = [chance.choice(5, p=row) for row in probabilities(honest)]
    return honest, np.eye(5)[labels]


def test_what_was_taken_from_the_severe_levels_is_given_back() -> None:
    honest, allowed = drawn()
    shift = severe_shift(honest - np.array([0, 0, 0, 0.9, -0.6]), allowed)
    assert shift[:3] == [0, 0, 0]
    assert shift[3:] == pytest.approx([0.9, -0.6], abs=0.2)
    assert severe_shift(honest, allowed) == pytest.approx([0, 0, 0, 0, 0], abs=0.12)


def test_a_mild_label_that_is_not_known_exactly_moves_nothing_between_the_mild_ones() -> None:
    honest, allowed = drawn()
    allowed[:, 1:3] = allowed[:, 1:3].max(axis=1, keepdims=True)
    assert severe_shift(honest, allowed) == pytest.approx([0, 0, 0, 0, 0], abs=0.12)


def margins(*values: float) -> np.ndarray:
    return np.array([[0.0, value, -9, -9, -9] for value in values])


def test_casual_ends_between_the_harmless_and_the_harmful() -> None:
    logits = margins(*np.linspace(-3, 0.9, 20), *np.linspace(1.1, 3, 20))
    flagged = [False] * 20 + [True] * 20
    shift = casual_shift(logits, flagged, ["one"] * 40)
    assert 0.9 <= shift < 1.1
    moved = logits + np.array([shift, 0, 0, 0, 0])
    assert [bool(row.argmax()) for row in moved] == flagged


def test_every_source_counts_the_same_and_small_ones_not_at_all() -> None:
    large = margins(*[-1.0] * 500, *[1.0] * 500)
    small = margins(*[1.5] * 20, *[3.0] * 20)
    tiny = margins(*[9.0] * 5, *[-9.0] * 5)
    logits = np.concatenate([large, small, tiny])
    flagged = [False] * 500 + [True] * 500 + [False] * 20 + [True] * 20 + [False] * 5 + [True] * 5
    sources = ["large"] * 1000 + ["small"] * 40 + ["tiny"] * 10
    assert -1 <= casual_shift(logits, flagged, sources) < 1
    assert casual_shift(tiny, [False] * 5 + [True] * 5, ["tiny"] * 10) == 0
    unsure: list[bool | None] = [None] * 1050
    assert casual_shift(logits, unsure, sources) == 0


def test_the_head_is_shifted_and_the_figures_are_those_of_the_shifted_model(
    tmp_path: Path,
) -> None:
    first = train(tmp_path / "plain", CLASSIFIER)
    second = train(tmp_path / "moved", CLASSIFIER, 'calibration.shift_sources=["*"]')
    plain, moved = (load_file(folder / "model.safetensors") for folder in (first, second))
    changed = {name for name in plain if not np.array_equal(plain[name], moved[name])}
    assert changed == {"classifier.bias"}
    shift = moved["classifier.bias"] - plain["classifier.bias"]
    assert shift[:3].tolist() == [0, 0, 0]
    assert np.abs(shift[3:]).max() > 0.04
    figures = [json.loads((n / "metrics.json").read_text()) for n in (first, second)]
    assert figures[0]["temperature"] != figures[1]["temperature"]
