"""How long a search through 100,000 stored messages takes, and what the index costs elsewhere.

The store is made on the spot: 50,000 turns of some 60 words a side in 2,500 conversations, words
drawn by Zipf's law from 20,000 made-up ones, so that the commonest stands in nearly every message
and the rarest in a few. Searches go through `History.search` as the shell and the screen use it, 50
hits with snippets, each the median of some rounds with the slowest beside it. The peer is what a
store without an index would do: `LIKE` over both columns, first 50 hits, no snippets; it stops
early for common words and reads everything for rare ones.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Row, median, print_table
from oa_chat.history import History
from oa_chat.schema import MIGRATIONS
from oa_chat.store import Store

_CONVERSATIONS = 2_500
_TURNS = 20
_WORDS = 20_000
_LENGTH = 60
_ROUNDS = 15
_GOAL = "at most 100 ms"
_DATE = "2026-01-01T00:00:00.000+00:00"


def main() -> None:
    rng = random.Random(7)
    words = _vocabulary(rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversations.sqlite3"
        _write_version_1(path, words, rng)
        migrated = _seconds(lambda: Store(path).close())
        store = Store(path)
        history = History(store)
        rows = [
            _search_row(history, path, what, text)
            for what, text in (
                ("a word of nearly every message", words[0]),
                ("a rare word", words[-1]),
                ("a common and a rare word", f"{words[0]} {words[-1]}"),
                ("two common words", f"{words[3]} {words[8]}"),
                ("the first letter of a word", words[-1][0]),
                ("the first three letters", words[-1][:3]),
                ("words that are nowhere", "quite elsewhere"),
            )
        ]
        rows += [
            _plain_row("list all conversations", history.summaries),
            _plain_row("list the newest 50", lambda: history.summaries(50)),
            _plain_row("open the store", lambda: Store(path).close()),
            _plain_row("save a message (synced)", lambda: store.add_turn(1, "what was that")),
        ]
        size = path.stat().st_size / 1e6
        gone = _seconds(lambda: history.delete_for_good(2))
        rows.append(Row("bring a version-1 file up to date, once", f"{migrated:.1f} s"))
        rows.append(Row("delete for good", f"{gone:.1f} s"))
        store.close()
    count = 2 * _CONVERSATIONS * _TURNS
    print_table(f"History of {count:,} messages, {size:.0f} MB with its index", rows)


def _vocabulary(rng: random.Random) -> list[str]:
    letters = "etaoinshrdlucmfw"
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        found["".join(rng.choices(letters, k=rng.randint(3, 10)))] = None
    return list(found)


def _write_version_1(path: Path, words: list[str], rng: random.Random) -> None:
    weights = [1 / (rank + 1) for rank in range(len(words))]
    total = _CONVERSATIONS * _TURNS
    said = rng.choices(words, weights, k=2 * total * _LENGTH)
    texts = [" ".join(said[i : i + _LENGTH]) for i in range(0, len(said), _LENGTH)]
    with sqlite3.connect(path) as database:
        for statement in MIGRATIONS[0]:
            database.execute(statement)
        database.execute("PRAGMA user_version = 1")
        database.executemany(
            "INSERT INTO conversation (title, created, updated) VALUES (?, ?, ?)",
            [(f"number {number}", _DATE, _DATE) for number in range(_CONVERSATIONS)],
        )
        database.executemany(
            "INSERT INTO turn (conversation_id, user, sent, reply, stop_reason, created)"
            " VALUES (?, ?, '', ?, 'complete', ?)",
            [
                (1 + turn // _TURNS, texts[2 * turn], texts[2 * turn + 1], _DATE)
                for turn in range(total)
            ],
        )
    database.close()


def _search_row(history: History, path: Path, what: str, text: str) -> Row:
    ours = [_seconds(lambda: history.search(text)) * 1000 for _ in range(_ROUNDS)]
    peer = [_seconds(lambda: _like(path, text)) * 1000 for _ in range(3)]
    return Row(
        f"search: {what}",
        f"{median(ours):.1f} ms (slowest {max(ours):.1f})",
        f"{median(peer):.1f} ms",
        f"{median(peer) / median(ours):.1f}x",
        _GOAL,
    )


def _like(path: Path, text: str) -> None:
    database = sqlite3.connect(path)
    condition = " AND ".join(["(user LIKE ? OR reply LIKE ?)"] * len(text.split()))
    values = [f"%{word}%" for word in text.split() for _ in range(2)]
    database.execute(
        f"SELECT id FROM turn WHERE {condition} ORDER BY id DESC LIMIT 50", values
    ).fetchall()
    database.close()


def _plain_row(what: str, work: Callable[[], object]) -> Row:
    times = [_seconds(work) * 1000 for _ in range(_ROUNDS)]
    return Row(what, f"{median(times):.1f} ms (slowest {max(times):.1f})")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
