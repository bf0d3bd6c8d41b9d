"""Small sources and recipes, made on the spot, and the real command to prepare them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from converters.prepare.plan import Request
from converters.prepare.progress import Progress
from converters.prepare.run import Outcome, run

_WHO = ["my neighbour", "the baker", "our teacher", "a tall visitor", "her cousin", "the nurse"]
_DID = ["painted", "borrowed", "dropped", "praised", "hid", "counted", "repaired", "polished"]
_WHAT = ["a bicycle", "the blue kettle", "seven pears", "an umbrella", "his drum", "the ladder"]
_WHERE = ["behind the mill", "at the station", "near a pond", "in the attic", "on Monday", "early"]

PLAIN = """
name = "plain"
[[source]]
kind = "posts"
path = "posts.jsonl"
[steps.normalise]
[steps.exact]
[steps.near]
"""


def sentence(number: int) -> str:
    """A harmless sentence; another number gives other words."""
    chance = random.Random(number)
    parts = [chance.choice(words) for words in (_WHO, _DID, _WHAT, _WHERE)]
    parts += [chance.choice(words) for words in (_WHO, _DID, _WHAT, _WHERE)]
    first, second = " ".join(parts[:4]), " ".join(parts[4:])
    return f"{first}, and then {second} {number} times"


def post(number: int, **said: Any) -> dict[str, Any]:
    """A post as `oa-chat scrape` writes it."""
    row = {
        "id": f"t3_{number:04d}",
        "kind": "submission",
        "subreddit": "gardening" if number % 3 else "cooking",
        "created": 1_600_000_000 + number,
        "title": f"Story {number}",
        "text": sentence(number),
        "score": number,
        "over_18": None,
        "lang": "",
        "thread": f"t3_{number:04d}",
        "parent": "",
        "author": "",
        "comments": [],
        "source": "reddit",
    }
    return row | said


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def all_records(folder: Path) -> list[dict[str, Any]]:
    return [
        row
        for split in ("train", "validation", "test")
        for row in read_lines(folder / f"{split}.jsonl")
    ]


def write_recipe(folder: Path, text: str, name: str = "recipe.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def prepare(recipe: Path, *overrides: str, out: Path | None = None, **said: Any) -> Outcome:
    """Run a preparation in this process, with one worker unless told otherwise."""
    folder = out or recipe.parent / "out"
    said.setdefault("workers", 1)
    return run(Request(recipe, overrides, folder, **said), Progress(quiet=True))


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a dataset, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "oa_chat", *map(str, arguments)]


def run_command(
    *arguments: str | Path, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The real command, as a user runs it."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
