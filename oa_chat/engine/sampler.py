"""How the next token is chosen: settings from the request, the file or the product's defaults."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oa_chat.engine.native import Context, Model, lib
from oa_chat.engine.protocol import Sampling

_PENALTY_WINDOW = 64
"""Tokens that a repeat penalty looks back, as in llama.cpp."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Sampling with nothing left open."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    max_tokens: int = 1024
    seed: int = 0


def choose(wanted: Sampling, file: Mapping[str, float], greedy: bool = False) -> Choice:
    """What was asked for, else what the file says, else the defaults.

    `file` holds `general.sampling.*`. With `greedy` the temperature is 0 unless asked for.
    """
    default = Choice()
    temperature = 0.0 if greedy else file.get("temp")
    return Choice(
        temperature=_pick(wanted.temperature, temperature, default.temperature, 0, 100),
        top_k=int(_pick(wanted.top_k, file.get("top_k"), default.top_k, 0, 2**31 - 1)),
        top_p=_pick(wanted.top_p, file.get("top_p"), default.top_p, 0, 1),
        min_p=_pick(wanted.min_p, file.get("min_p"), default.min_p, 0, 1),
        repeat_penalty=_pick(
            wanted.repeat_penalty, file.get("penalty_repeat"), default.repeat_penalty, 0.01, 100
        ),
        max_tokens=int(_pick(wanted.max_tokens, None, default.max_tokens, 1, 2**31 - 1)),
        seed=secrets.randbits(32) if wanted.seed is None else wanted.seed & 0xFFFFFFFF,
    )


def _pick(
    wanted: float | None, file: float | None, default: float, lowest: float, highest: float
) -> float:
    """The first that is a number, kept within what llama.cpp can take: NaN would make it abort."""
    for value in (wanted, file):
        if value is not None and math.isfinite(value):
            return max(lowest, min(highest, value))
    return default


class Sampler:
    """A chain of llama.cpp samplers; `close` frees it."""

    def __init__(self, model: Model, choice: Choice, recent: Sequence[int]) -> None:
        """`recent` are the tokens in front of the reply, for the repeat penalty."""
        self.pointer: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for link in _links(model, choice):
            lib.llama_sampler_chain_add(self.pointer, link)
        if choice.repeat_penalty != 1.0:
            for token in recent[-_PENALTY_WINDOW:]:
                lib.llama_sampler_accept(self.pointer, token)

    def sample(self, context: Context) -> int:
        """The next token, from the context's last logits."""
        return int(lib.llama_sampler_sample(self.pointer, context.pointer, -1))

    def close(self) -> None:
        """Free the chain."""
        lib.llama_sampler_free(self.pointer)


def _links(model: Model, choice: Choice) -> list[Any]:
    links: list[Any] = []
    if choice.repeat_penalty != 1.0:
        penalty = choice.repeat_penalty
        links.append(
            lib.llama_sampler_init_penalties(model.n_vocab, _PENALTY_WINDOW, penalty, 0.0, 0.0)
        )
    if choice.temperature <= 0:
        return [*links, lib.llama_sampler_init_greedy()]
    if choice.top_k > 0:
        links.append(lib.llama_sampler_init_top_k(choice.top_k))
    if choice.top_p < 1:
        links.append(lib.llama_sampler_init_top_p(choice.top_p, 1))
    if choice.min_p > 0:
        links.append(lib.llama_sampler_init_min_p(choice.min_p, 1))
    links.append(lib.llama_sampler_init_temp(choice.temperature))
    return [*links, lib.llama_sampler_init_dist(choice.seed)]
