"""Sampling settings: what was asked for, then the file's, then the defaults, never nonsense."""

from __future__ import annotations

import math

from oa_chat.engine.protocol import Sampling
from oa_chat.engine.sampler import Choice, choose


def test_order() -> None:
    file = {"temp": 0.5, "top_k": 20.0, "penalty_repeat": 1.1}
    chosen = choose(Sampling(top_k=5, seed=-1), file)
    assert chosen == Choice(0.5, 5, 0.9, 0.05, 1.1, 1024, 0xFFFFFFFF)
    assert choose(Sampling(seed=3), {}) == Choice(seed=3)


def test_greedy_unless_asked() -> None:
    assert choose(Sampling(), {"temp": 0.5}, greedy=True).temperature == 0
    assert choose(Sampling(temperature=0.3), {}, greedy=True).temperature == 0.3


def test_nonsense_is_kept_from_llama_cpp() -> None:
    file = {"temp": math.nan, "top_p": -5.0, "min_p": math.inf, "top_k": 1e30, "penalty_repeat": 0}
    chosen = choose(Sampling(max_tokens=0, seed=1), file)
    assert chosen == Choice(0.7, 2**31 - 1, 0.0, 0.05, 0.01, 1, 1)
