"""Perplexity of a chat model on rows that were held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import DataError
from converters.train.chat_data import Document, Format, document, fitted, held_out, read_talks
from converters.train.chat_tokens import ChatTokens
from converters.train.job import Processes
from converters.train.packing import Piece, packed, tensors

_ROWS = 8
"""Packed rows that are computed at once."""


class HeldOutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[[held_out]]``: a file whose held-out rows are measured."""

    file: str
    name: str = ""
    format: Format = "chat"
    most: int = 60
    """Rows at most."""
    whole: bool = False
    """The file is a dev file: all of its rows count, not one in a hundred."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The rows of a set."""

    name: str
    documents: Sequence[Document]
    plain: Sequence[Document]
    """The same without the guideline; empty if no row has one."""
    context: int

    @classmethod
    def read(
        cls, settings: HeldOutSettings, path: Path, tokens: ChatTokens, context: int
    ) -> HeldOut:
        """Read the rows. Raises DataError where there are none."""
        documents: list[Document] = []
        plain: list[Document] = []
        count = 0
        for talk in read_talks(path, settings.format):
            if count >= settings.most or not (settings.whole or held_out(talk.key)):
                continue
            count += 1
            documents += fitted(document(tokens, talk.segments), context, tokens.start)
            if talk.guideline:
                plain += fitted(document(tokens, talk.plain), context, tokens.start)
        if not documents:
            raise DataError(
                f"{path} has no held-out row.",
                "Small files may have none: leave the set out, or say whole = true for a dev file.",
            )
        name = settings.name or path.name.partition(".")[0]
        return cls(name, documents, plain, context)


def perplexities(
    model: Any, sets: Sequence[HeldOut], pad: int, processes: Processes
) -> dict[str, float]:
    """By set; "loss" is the mean of the sets' losses per token."""
    found: dict[str, float] = {}
    losses = []
    for one in sets:
        loss = _loss(model, one.documents, one.context, pad, processes)
        losses.append(loss)
        found[one.name] = math.exp(min(loss, 50.0))
        if one.plain:
            without = _loss(model, one.plain, one.context, pad, processes)
            found[f"{one.name}, guideline taken away"] = math.exp(min(without, 50.0))
    return {"loss": sum(losses) / len(losses), **found}


def _loss(
    model: Any, documents: Sequence[Document], context: int, pad: int, processes: Processes
) -> float:
    import torch

    rows = packed([Piece(one) for one in documents], context)
    mine = rows[processes.rank :: processes.count]
    device = next(model.parameters()).device
    sums: list[tuple[float, float]] = []
    with torch.no_grad():
        for at in range(0, len(mine), _ROWS):
            inputs = tensors(mine[at : at + _ROWS], context, pad, 0.0)
            weight = float(inputs["weights"].sum())
            loss = model(**{name: value.to(device) for name, value in inputs.items()})
            sums.append((float(loss), weight))
    gathered: list[tuple[float, float]] = processes.gather(sums)
    return sum(loss for loss, _ in gathered) / max(1.0, sum(weight for _, weight in gathered))
