"""The page about training names every key of every recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from converters.train import chat, classifier, seq2seq

PAGE = Path(__file__).resolve().parents[3] / "docs" / "train.md"


def keys(struct: Any) -> Iterator[str]:
    for name, hint in get_type_hints(struct).items():
        yield name
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                yield from keys(part)


@pytest.mark.parametrize("module", [classifier, seq2seq, chat])
def test_the_page_names_every_key(module: Any) -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", PAGE.read_text()))))
    found = set(keys(module.RECIPE))
    assert len(found) > 30
    assert found - named == set()
