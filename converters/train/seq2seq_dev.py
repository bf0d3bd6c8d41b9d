"""Answers of a T5 guard to dev records, read as the app reads them, and their measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.extras import require
from converters.train.calibration import macro_f1
from converters.train.job import Processes
from converters.train.seq2seq_rows import Example
from converters.train.seq2seq_tokens import T5Tokens
from oa_chat.engine.protocol import Output
from oa_chat.guards.open_assistant import OpenAssistant
from oa_chat.verdict import LABELS, Severity

_BATCH = 32
MULTIPLE = 8
_UNREAD = len(LABELS)
"""Counts as a sixth answer, which is never right."""


def measured(
    model: Any,
    tokens: T5Tokens,
    family: OpenAssistant,
    dev: Sequence[Example],
    recipe: Any,
    processes: Processes,
) -> dict[str, float]:
    """Macro-F1 and accuracy of the label, share of readable answers, chrF of the rules."""
    mine = list(range(len(dev)))[processes.rank :: processes.count]
    settings = recipe.model
    prompts = {n: tokens.prompt(dev[n].prompt, settings.max_tokens) for n in mine}
    mine.sort(key=lambda n: len(prompts[n]))
    found: list[tuple[int, str]] = []
    for at in range(0, len(mine), _BATCH):
        group = mine[at : at + _BATCH]
        written = _answers(model, tokens, [prompts[n] for n in group], settings.answer_tokens)
        found += zip(group, written, strict=True)
    answers = dict(processes.gather(found))
    readings = [family.read(Output(answers[n], None, finished=True)) for n in range(len(dev))]
    truth = [int(one.severity) for one in dev]
    given = [_UNREAD if r.severity is None else int(r.severity) for r in readings]
    pairs = list(zip(truth, given, strict=True))
    rules = [
        (reading.rule, list(one.rules))
        for reading, one in zip(readings, dev, strict=True)
        if one.rules and one.severity > Severity.CASUAL
    ]
    return {
        "macro_f1": macro_f1(truth, given, len(LABELS)),
        "accuracy": sum(t == g for t, g in pairs) / len(pairs),
        "readable": sum(g != _UNREAD for g in given) / len(given),
        "rule_chrf": _chrf(rules),
    }


def _answers(
    model: Any, tokens: T5Tokens, prompts: Sequence[Sequence[int]], most: int
) -> list[str]:
    import torch

    device = next(model.parameters()).device
    with torch.no_grad():
        written = model.generate(
            input_ids=padded(prompts, tokens.pad).to(device),
            attention_mask=padded([[1] * len(row) for row in prompts], 0).to(device),
            max_new_tokens=most,
            do_sample=False,
            num_beams=1,
        )
    return [tokens.text(row[1:]) for row in written.tolist()]


def _chrf(rules: Sequence[tuple[str, list[str]]]) -> float:
    """The mean chrF of each rule against the best of its references, 0 to 100."""
    if not rules:
        return 0.0
    require("train", "sacrebleu")
    from sacrebleu import sentence_chrf

    return float(sum(sentence_chrf(rule, gold).score for rule, gold in rules) / len(rules))


def padded(rows: Sequence[Sequence[int]], value: int) -> Any:
    """Rows as a tensor, its length a multiple of 8."""
    import torch

    longest = -(-max(map(len, rows)) // MULTIPLE) * MULTIPLE
    made = torch.full((len(rows), longest), value)
    for number, row in enumerate(rows):
        made[number, : len(row)] = torch.tensor(row)
    return made
