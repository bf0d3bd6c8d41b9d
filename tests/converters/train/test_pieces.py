"""A vocabulary is the same in every process, or a training that goes on would read other tokens."""

from __future__ import annotations

import subprocess
import sys

_LEARN = """
import hashlib, random
from converters.train import pieces
pieces._SENTENCES = 500
words = random.Random(1)
lines = [f"w{words.randint(0, 900)} x{words.randint(0, 90)}" for _ in range(1500)]
print(hashlib.sha256(pieces.sentence_pieces(lines, 200, SEED, model_type="bpe")).hexdigest())
"""


def learned(seed: int) -> str:
    code = _LEARN.replace("SEED", str(seed))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_more_lines_than_are_learned_from_give_the_same_pieces_in_another_process() -> None:
    first = learned(1)
    assert len(first) == 64
    assert learned(1) == first
    assert learned(2) != first
