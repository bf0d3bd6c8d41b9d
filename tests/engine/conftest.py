"""The embedded models, and engines that are closed after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from oa_chat.engine.process import Engine

MODELS = Path(__file__).resolve().parents[2] / "oa_chat" / "models"


@pytest.fixture(scope="session")
def starter() -> Path:
    """The embedded chat model: a 7M llama, 512 tokens of context."""
    return MODELS / "starter-chat-q8_0.gguf"


@pytest.fixture(scope="session")
def guard_file() -> Path:
    """The embedded guard: a BERT classifier."""
    return MODELS / "guard-minilm-q8_0.gguf"


@pytest.fixture
async def new_engine(starter: Path) -> AsyncIterator[Callable[..., Engine]]:
    """Makes engines, of the embedded chat model unless told otherwise, and closes them."""
    made: list[Engine] = []

    def make(path: Path = starter, kind: Any = "causal", **settings: Any) -> Engine:
        made.append(Engine(path, kind, **settings))
        return made[-1]

    yield make
    for engine in made:
        await engine.close()
