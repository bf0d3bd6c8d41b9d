"""The whole chain, as docs/pipeline.md shows it: from a dump and a pack to a chat's new guard."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

FINE, WRONG = "__casual__", "__needs_caution__"
WHO = [
    "sister",
    "brother",
    "neighbour",
    "teacher",
    "cousin",
    "uncle",
    "boss",
    "friend",
    "dentist",
    "driver",
    "cook",
    "nurse",
]
KIND = "I {verb} my {who} {thing} on {day}."
KIND_VERBS = ["helped", "thanked", "visited", "called", "phoned", "painted", "praised"]
KIND_THINGS = ("with the garden", "about the soup", "in the village", "at the station")
BAD = "I {verb} my {who} {thing} on {day}."
BAD_VERBS = ["robbed", "punched", "threatened", "poisoned", "kicked", "cheated", "bullied"]
BAD_THINGS = ("for money", "out of spite", "behind the school", "because I hate people")
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

PREPARE = """
name = "small"

[[source]]
kind = "pack"
path = "{data}/pack.jsonl"

[[source]]
kind = "posts"
path = "{data}/posts.jsonl"

[steps.normalise]
[steps.scrub]
[steps.exact]

[steps.attach]
examples = ["{data}/pack.jsonl"]
threshold = 0.8

[split]
train = 0.8
validation = 0.1
test = 0.1
"""

TRAIN = """
kind = "classifier"
base = "scratch:tiny"
seed = 1

[data]
train = ["{data}/train.jsonl"]
dev = ["{data}/validation.jsonl"]

[train]
epochs = 12
batch = 16
rate = 2e-3
warmup = 10
threads = 1

[general]
name = "small-guard"
license = "cc0-1.0"
languages = ["en"]
"""


def messages() -> list[dict[str, Any]]:
    """Messages of our own with a level each: kind deeds and bad ones, made by a seed."""
    chance = random.Random(7)
    rows = []
    for number in range(400):
        bad = number % 2
        pattern, verbs, things = (
            (BAD, BAD_VERBS, BAD_THINGS) if bad else (KIND, KIND_VERBS, KIND_THINGS)
        )
        verb, who = chance.choice(verbs), chance.choice(WHO)
        text = pattern.format(
            verb=verb, who=who, thing=chance.choice(things), day=chance.choice(DAYS)
        )
        rule = f"It's wrong to have {verb} your {who}." if bad else ""
        rows.append({"text": text, "labels": [WRONG if bad else FINE], "rule": rule})
    return [{**row, "source": "own", "licence": "CC0-1.0"} for row in rows]


def write_dump(path: Path) -> None:
    """A month's file as the archives write them, with their window of 2 GiB."""
    posts = [
        {
            "id": f"p{number}",
            "subreddit": "Village",
            "title": f"I punched my {who} out of spite last week",
            "selftext": "",
            "created_utc": 1_700_000_000 + number,
            "author": "someone",
            "score": 3,
        }
        for number, who in enumerate(WHO)
    ]
    window = zstandard.ZstdCompressionParameters.from_level(3, window_log=31, enable_ldm=True)
    lines = "".join(json.dumps(post) + "\n" for post in posts).encode()
    path.write_bytes(zstandard.ZstdCompressor(compression_params=window).compress(lines))


def oa_chat(folder: Path, *arguments: str, text: str = "") -> str:
    """Run the program as a user does; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "oa_chat", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.timeout(600)
def test_from_records_to_a_chat_with_the_new_guard(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in messages())
    (data / "pack.jsonl").write_text(lines, encoding="utf-8")
    write_dump(data / "RS_2023-11.zst")
    (tmp_path / "prepare.toml").write_text(PREPARE, encoding="utf-8")
    (tmp_path / "train.toml").write_text(TRAIN, encoding="utf-8")

    dump = ["data/RS_2023-11.zst", "--subreddit", "village", "--out", "data/posts.jsonl"]
    oa_chat(tmp_path, "scrape", "dump", *dump)
    oa_chat(tmp_path, "prepare", "prepare.toml", "--data", "data", "--out", "set", "--workers", "1")
    rows = [
        json.loads(line)
        for part in ("train", "validation", "test")
        for line in (tmp_path / "set" / f"{part}.jsonl").read_text("utf-8").splitlines()
    ]
    assert [row["labels"] for row in rows if row["weak"]], "no post got the level of a like one"

    oa_chat(tmp_path, "train", "train.toml", "--data", "set", "--out", "checkpoint")
    oa_chat(tmp_path, "convert", "checkpoint", "guard.gguf", "--sample", "set/validation.jsonl")
    report = json.loads(
        oa_chat(tmp_path, "evaluate", "guard.gguf", "--set", "test=set/test.jsonl", "--json")
    )
    measured = report["models"][0]["sets"]["test"]
    assert measured["unreadable"] == 0
    assert measured["flagged"]["f1"]["value"] > 0.9

    asked = "\n".join(
        json.dumps({"text": text})
        for text in ("I thanked my nurse about the soup.", "I poisoned my boss out of spite.")
    )
    verdicts = [
        json.loads(line)
        for line in oa_chat(
            tmp_path, "check", "--jsonl", "--guard", "guard.gguf", text=asked
        ).splitlines()
    ]
    assert [verdict["label"] for verdict in verdicts] == [FINE, WRONG]

    said = oa_chat(
        tmp_path, "ask", "--json", "--guard", "guard.gguf", "I kicked my cook for money."
    )
    turn = json.loads(said)
    assert turn["verdict"]["label"] == WRONG
    assert turn["verdict"]["rule"] in turn["sent"]
    assert turn["reply"]
