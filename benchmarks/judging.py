"""Blind judgements of rules and replies: make the sheets, and count what was judged.

    python -m benchmarks.judging rules      rule writer against rulebook, 200 flagged dev messages
    python -m benchmarks.judging chats OLD  the starter model against another, 40 conversations
    python -m benchmarks.judging guidelines the starter model with and without a guideline
    python -m benchmarks.judging count      the tables of all judged sheets

A sheet (`judged/NAME.sheet.jsonl`) shows each pair as A and B, which is which drawn by chance; the
key lies apart. A judge writes `judged/NAME.verdicts.jsonl`: `{"id", "a", "b", "better"}`. All
messages are this project's own, and none was trained on. What a judge thinks is not checked here.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oa_chat import catalog
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Piece, Sampling
from oa_chat.guards.authors import RulebookAuthor, WriterAuthor
from oa_chat.policy import compose_sent
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Severity

ROOT = Path(__file__).resolve().parent.parent
JUDGED = ROOT / "benchmarks" / "judged"
DEV = ROOT / "converters" / "recipes" / "written" / "dev.jsonl.gz"
_SEED = 20
_CHAT = Sampling(temperature=0.5, top_p=0.9, top_k=40, repeat_penalty=1.0, max_tokens=80, seed=1)


@dataclass(frozen=True)
class Pair:
    """Two answers to one thing, by the names of who gave them."""

    id: str
    shown: dict[str, Any]
    answers: dict[str, Any]


def write_sheet(name: str, pairs: Iterable[Pair]) -> None:
    """Sheet and key: in each pair chance decides who is A."""
    chance = random.Random(_SEED)
    sheet, key = [], []
    for pair in pairs:
        first, second = chance.sample(sorted(pair.answers), 2)
        shown = {"a": pair.answers[first], "b": pair.answers[second]}
        sheet.append({"id": pair.id, **pair.shown, **shown})
        key.append({"id": pair.id, "a": first, "b": second})
    write_lines(JUDGED / f"{name}.sheet.jsonl", sheet)
    write_lines(JUDGED / f"{name}.key.jsonl", key)
    print(f"{len(sheet)} pairs in {name}.sheet.jsonl")


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def flagged(count: int, least: Severity = Severity.POSSIBLY) -> list[dict[str, Any]]:
    """Flagged dev messages of the project's own, in an order of chance."""
    with gzip.open(DEV, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows += read_lines(JUDGED / "more_flagged.jsonl")
    rows = [row for row in rows if Severity.from_label(row["labels"][0]) >= least]
    random.Random(_SEED).shuffle(rows)
    return rows[:count]


async def rules(arguments: argparse.Namespace) -> None:
    """Rulebook and rule writer on flagged messages that need no intervention."""
    rulebook = RulebookAuthor(Rulebook.load)
    path = arguments.model or catalog.embedded_path(catalog.RULE_WRITER)
    writer = WriterAuthor(Engine(path, "causal", gpu_layers=0), rulebook)
    pairs = []
    rows = [row for row in flagged(10_000) if row["labels"] != [Severity.INTERVENTION.label]]
    for number, row in enumerate(rows[: arguments.count], 1):
        severity = Severity.from_label(row["labels"][0])
        by_book = await rulebook.rule(row["text"], severity)
        by_model = await writer.rule(row["text"], severity)
        shown = {"message": row["text"], "level": severity.words}
        answers = {"rulebook": by_book.text, "writer": by_model.text}
        pairs.append(Pair(f"r{number:03}", shown, answers))
    await writer.close()
    write_sheet("rules", pairs)


async def chats(arguments: argparse.Namespace) -> None:
    """The starter model and an older one, each in its own course of 40 conversations."""
    scripts = read_lines(JUDGED / "conversations.jsonl")
    new = await talked(arguments.model or catalog.embedded_path(catalog.STARTER), scripts)
    old = await talked(arguments.other, scripts)
    pairs = [
        Pair(script["id"], {}, {"new": after, "old": before})
        for script, after, before in zip(scripts, new, old, strict=True)
    ]
    write_sheet("chats", pairs)


async def talked(path: Path, scripts: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Each script's turns with a model's replies between them."""
    engine = Engine(path, "causal", gpu_layers=0)
    found = []
    for script in scripts:
        messages: list[Message] = []
        for text in script["turns"]:
            messages.append(Message("user", text))
            messages.append(Message("assistant", await replied(engine, messages)))
        found.append([f"{message.role}: {message.text}" for message in messages])
    await engine.close()
    return found


async def replied(engine: Engine, messages: Sequence[Message]) -> str:
    answers = engine.reply(messages, _CHAT)
    return "".join([one.text async for one in answers if isinstance(one, Piece)]).strip()


async def guidelines(arguments: argparse.Namespace) -> None:
    """The starter model on flagged messages, with the written rule as guideline and without."""
    path = arguments.model or catalog.embedded_path(catalog.STARTER)
    engine = Engine(path, "causal", gpu_layers=0)
    pairs = []
    for number, row in enumerate(flagged(arguments.count), 1):
        sent = {"with": compose_sent(row["text"], row["rule"]), "without": row["text"]}
        answers = {
            name: await replied(engine, [Message("user", text)]) for name, text in sent.items()
        }
        shown = {"message": row["text"], "guideline": row["rule"]}
        pairs.append(Pair(f"g{number:03}", shown, answers))
    await engine.close()
    write_sheet("guidelines", pairs)


async def count(_: argparse.Namespace) -> None:
    """Who was given which mark how often, and who was better."""
    for path in sorted(JUDGED.glob("*.verdicts.jsonl")):
        name = path.name.removesuffix(".verdicts.jsonl")
        print("\n".join(counted(name, read_lines(path))))


def counted(name: str, verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one sheet; shares with 95 % intervals (Wilson 1927)."""
    key = {row["id"]: row for row in read_lines(JUDGED / f"{name}.key.jsonl")}
    marks: dict[str, Counter[str]] = {}
    better: Counter[str] = Counter()
    for verdict in verdicts:
        sides = key[verdict["id"]]
        for side in "ab":
            marks.setdefault(sides[side], Counter())[verdict[side]] += 1
        better[sides.get(verdict["better"], "tie")] += 1
    lines = [f"{name}: {len(verdicts)} pairs"]
    for who in sorted(marks):
        for mark, times in sorted(marks[who].items()):
            low, high = wilson(times, len(verdicts))
            share = times / len(verdicts)
            lines.append(f"  {who:10} {mark:10} {times:4}  {share:.2f} ({low:.2f} to {high:.2f})")
    lines += [f"  better: {who} {times}" for who, times in sorted(better.items())]
    return lines


def wilson(times: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson 1927, JASA 22, pages 209 to 212)."""
    z2 = 1.96**2
    share = times / of
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = 1.96 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


_TASKS: dict[str, Callable[[argparse.Namespace], Coroutine[None, None, None]]] = {
    "rules": rules,
    "chats": chats,
    "guidelines": guidelines,
    "count": count,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Blind judgements: sheets and counts.")
    parser.add_argument("task", choices=sorted(_TASKS))
    parser.add_argument("other", nargs="?", type=Path, help="chats: the model to compare with")
    parser.add_argument("--model", type=Path, help="in place of the embedded one")
    parser.add_argument("--count", type=int, default=200, help="how many messages")
    arguments = parser.parse_args()
    if arguments.task == "chats" and arguments.other is None:
        parser.error("chats needs the file of the other model")
    asyncio.run(_TASKS[arguments.task](arguments))


if __name__ == "__main__":
    main()
