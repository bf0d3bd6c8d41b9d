"""Each kind trained once, for all tests that look at what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.train.small import CHAT, CLASSIFIER, SEQ2SEQ, train


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that learned for 60 steps."""
    steps = ("train.max_steps=90", "train.evaluate_every=30", "train.rate=4e-3")
    return train(tmp_path_factory.mktemp("guard"), CLASSIFIER, *steps)


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of eight steps in two phases."""
    return train(tmp_path_factory.mktemp("chat"), CHAT)


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of eight steps."""
    return train(tmp_path_factory.mktemp("t5"), SEQ2SEQ)
