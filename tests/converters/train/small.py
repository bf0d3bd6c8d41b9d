"""Small data and recipes for the tests of training; and a way to run one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.train.run import Wanted, run
from oa_chat.verdict import LABELS

os.environ.setdefault("OMP_NUM_THREADS", "1")
_WORDS = {
    0: ("I baked bread with my {who}.", "sister brother mother father friend teacher"),
    1: ("I feel lonely without my {who}.", "sister brother mother father friend teacher"),
    2: ("I lied to my {who} again.", "sister brother mother father friend teacher"),
    3: ("I hate my stupid {who}.", "sister brother mother father friend teacher"),
    4: ("I will hurt my {who} tonight.", "sister brother mother father friend teacher"),
}
RULES = {
    1: "It's okay to feel lonely.",
    2: "You should be honest.",
    3: "It's wrong to hate.",
    4: "You should never hurt people.",
}
TALKS = [
    [("user", "Hello there!"), ("assistant", "Hello! How are you today?")],
    [("user", "I like trains."), ("assistant", "Trains are nice. Which one do you like?")],
    [("user", "What is for dinner?"), ("assistant", "I do not eat. What do you like to eat?")],
    [
        ("user", "I lied again.\n\n[Guideline: You should be honest.]"),
        ("assistant", "You should be honest. What happened?"),
        ("user", "I was afraid."),
        ("assistant", "That is hard. You can still tell the truth."),
    ],
]


def records() -> list[dict[str, Any]]:
    """A message with a level for each of thirty combinations, some with context or two levels."""
    made: list[dict[str, Any]] = []
    for level, (pattern, people) in _WORDS.items():
        for number, who in enumerate(people.split()):
            row: dict[str, Any] = {
                "text": pattern.format(who=who),
                "labels": [LABELS[level]],
                "rule": RULES.get(level, ""),
                "source": "even" if number % 2 == 0 else "odd",
            }
            if number == 4:
                row["context"] = [
                    {"role": "user", "content": "Hello there!"},
                    {"role": "assistant", "content": "Hello! How are you?"},
                ]
            if number == 5 and level:
                row["labels"] = [LABELS[level], LABELS[level - 1]]
            made.append(row)
    return made


def talks(count: int = 40) -> list[dict[str, Any]]:
    """Short conversations."""
    made = []
    for number in range(count):
        turns = TALKS[number % len(TALKS)]
        rows = [{"role": role, "content": text} for role, text in turns]
        rows[0] = {**rows[0], "content": f"{number} times. {rows[0]['content']}"}
        made.append({"messages": rows})
    return made


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def data_folder(folder: Path) -> Path:
    """records.jsonl, dev.jsonl and talks.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "records.jsonl", records())
    write_lines(folder / "dev.jsonl", [row for row in records() if len(row["labels"]) == 1])
    write_lines(folder / "talks.jsonl", talks())
    return folder


CLASSIFIER = """
kind = "classifier"
out = "guard"
base = "scratch:tiny"
[data]
train = ["{data}/records.jsonl"]
dev = ["{data}/dev.jsonl"]
[model]
max_tokens = 32
vocabulary = 120
[train]
batch = 8
max_steps = 12
rate = 1e-3
evaluate_every = 6
log_every = 1
bf16 = false
threads = 1
"""

SEQ2SEQ = """
kind = "seq2seq"
out = "t5"
base = "scratch:nano"
[data]
train = ["{data}/records.jsonl"]
dev = ["{data}/dev.jsonl"]
dev_most = 8
[model]
max_tokens = 48
answer_tokens = 24
vocabulary = 90
[train]
batch = 8
max_steps = 8
rate = 3e-3
log_every = 1
bf16 = false
threads = 1
"""

CHAT = """
kind = "chat"
out = "chat"
base = "scratch:nano"
systems = ["You are kind."]
[model]
context = 96
vocabulary = 330
[train]
batch = 2
log_every = 1
ema = 0.5
bf16 = false
threads = 1
[[phase]]
name = "all"
steps = 4
rate = 0.02
loss = "all"
data = [{ file = "{data}/talks.jsonl" }]
[[phase]]
name = "assistant"
steps = 4
rate = 0.01
end = 0.0
others = 0.3
system_share = 0.5
data = [
    { file = "{data}/talks.jsonl" },
    { file = "{data}/records.jsonl", format = "rule/level" },
]
[[held_out]]
file = "{data}/talks.jsonl"
whole = true
most = 8
"""


def train(
    folder: Path, recipe: str, *overrides: str, data: Path | None = None, **wanted: Any
) -> Path:
    """Run a recipe; its output folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = data or data_folder(folder / "data")
    path = folder / "recipe.toml"
    path.write_text(recipe)
    out = folder / "out"
    run(Wanted(path, (f"out={out}", *overrides), data, **wanted))
    return out


def losses(out: Path) -> list[float]:
    """The loss of each step."""
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]
