"""The dev records of a classifier: logits, measures, and what is fitted on them after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from converters.errors import DataError
from converters.train import calibration
from converters.train.guard_rows import FAMILY, Row
from converters.train.job import Inputs, Processes
from converters.train.shifting import casual_shift, severe_shift
from oa_chat.engine.cuts import Ids
from oa_chat.engine.passage_ids import PassageIds
from oa_chat.engine.protocol import Window
from oa_chat.verdict import LABELS

_TOKENS = 8192
"""Tokens that are judged at once."""


class CalibrationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[calibration]``: what is fitted on the dev files after training."""

    temperature: bool = True
    sources: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """Whose dev records the temperature is fitted on."""
    threshold: Literal["none", "f1", "false_alarms"] = "none"
    """How `flag_below` is chosen: best F1 of flagged, or the most that `false_alarms` allows."""
    threshold_sources: list[str] = msgspec.field(default_factory=lambda: ["*"])
    false_alarms: float = 0.05
    shift_sources: list[str] = []
    """Whose flagged dev records say how frequent the severe levels are; empty shifts nothing."""
    casual_sources: list[str] = []
    """Whose dev records say where casual ends; empty leaves it where it is."""


@dataclass(frozen=True, slots=True)
class DevSet:
    """Records with levels that are not trained on."""

    rows: Sequence[Row]
    ids: PassageIds
    pad: int

    def numbers(self, sources: Sequence[str]) -> list[int]:
        """Which rows are of these sources."""
        return [
            number
            for number, row in enumerate(self.rows)
            if any(fnmatchcase(row.source, name) for name in sources)
        ]

    def only(self, numbers: Sequence[int]) -> DevSet:
        """Some of the rows. Raises DataError where rows are and none has exactly one level."""
        rows = [self.rows[number] for number in numbers]
        if self.rows and not any(len(row.levels) == 1 for row in rows):
            sources = ", ".join(sorted({row.source for row in self.rows}))
            raise DataError(
                "No dev record of data.stop has exactly one level.",
                f"Sources in the dev files: {sources}.",
            )
        return DevSet(rows, self.ids, self.pad)

    def logits(self, model: Any, processes: Processes) -> Any:
        """Logits of each row: those of its worst window."""
        import numpy as np
        import torch

        mine = range(processes.rank, len(self.rows), processes.count)
        windows = [(n, ids) for n in mine for ids in windows_of(self.rows[n], self.ids)]
        windows.sort(key=lambda one: len(one[1]))
        found: list[tuple[int, list[float]]] = []
        device = next(model.parameters()).device
        with torch.no_grad():
            for group in _by_tokens(windows):
                inputs = padded(self.pad, [ids for _, ids in group])
                rows = model(**{k: v.to(device) for k, v in inputs.items()}).logits.float()
                found += zip([n for n, _ in group], rows.tolist(), strict=True)
        judged: dict[int, list[list[float]]] = {}
        for number, row in processes.gather(found):
            judged.setdefault(number, []).append(row)
        return np.array([_worst(judged[number]) for number in range(len(self.rows))])

    def measured(self, logits: Any, temperature: float) -> dict[str, float]:
        """Measures of the levels on rows with one; of the flag on rows where it is certain."""
        chosen = [n for n, row in enumerate(self.rows) if len(row.levels) == 1]
        truth = [int(next(iter(self.rows[n].levels))) for n in chosen]
        given = [int(row) for row in logits[chosen].argmax(axis=-1)]
        sure = [n for n, row in enumerate(self.rows) if row.flagged is not None]
        flags = [int(self.rows[n].flagged or False) for n in sure]
        marked = [int(logits[n].argmax() > 0) for n in sure]
        benign = [m for m, flag in zip(marked, flags, strict=True) if not flag]
        pairs = list(zip(truth, given, strict=True))
        return {
            "macro_f1": calibration.macro_f1(truth, given, len(LABELS)),
            "accuracy": sum(t == g for t, g in pairs) / len(pairs),
            "level_error": sum(abs(t - g) for t, g in pairs) / len(pairs),
            "ece": calibration.calibration_error(logits[chosen], truth, temperature),
            "flagged_f1": calibration.label_f1(flags, marked, 1) or 0.0,
            "false_alarms": sum(benign) / max(1, len(benign)),
        }


def fitted(dev: DevSet, logits: Any, settings: CalibrationSettings) -> tuple[float, float]:
    """Temperature and `flag_below`. Raises DataError where no row is left to fit them on."""
    temperature = 1.0
    if settings.temperature:
        rows = [n for n in dev.numbers(settings.sources) if dev.rows[n].levels]
        _some(rows, "calibration.sources")
        allowed = [[float(x in dev.rows[n].levels) for x in range(len(LABELS))] for n in rows]
        temperature = calibration.fit_temperature(logits[rows], allowed)
    if settings.threshold == "none":
        return temperature, 0.0
    rows = [n for n in dev.numbers(settings.threshold_sources) if dev.rows[n].flagged is not None]
    _some(rows, "calibration.threshold_sources")
    casual = calibration.probabilities(logits[rows], temperature)[:, 0].tolist()
    flags = [bool(dev.rows[n].flagged) for n in rows]
    if settings.threshold == "f1":
        return temperature, calibration.best_threshold(casual, flags)
    return temperature, calibration.threshold_for(casual, flags, settings.false_alarms)


def shifted(dev: DevSet, logits: Any, settings: CalibrationSettings) -> list[float]:
    """Five constants for the logits (`shifting`). Raises DataError where no row is left."""
    import numpy as np

    shift = [0.0] * len(LABELS)
    if settings.shift_sources:
        rows = [n for n in dev.numbers(settings.shift_sources) if dev.rows[n].flagged]
        _some(rows, "calibration.shift_sources")
        allowed = [[float(x in dev.rows[n].levels) for x in range(len(LABELS))] for n in rows]
        shift = severe_shift(logits[rows], allowed)
    if settings.casual_sources:
        rows = dev.numbers(settings.casual_sources)
        _some(rows, "calibration.casual_sources")
        flags = [dev.rows[n].flagged for n in rows]
        sources = [dev.rows[n].source for n in rows]
        shift[0] = casual_shift(logits[rows] + np.array(shift), flags, sources)
    return shift


def _some(rows: Sequence[int], key: str) -> None:
    if not rows:
        raise DataError(f"No dev record is of {key}.", "Correct the recipe.")


def windows_of(row: Row, ids: PassageIds) -> list[Ids]:
    """All inputs for a row: one, or the windows of a long message."""
    text = ids.tokens(row.passage.text)
    return [window for _, window in ids.windows(text, row.passage.context)]


def padded(pad: int, inputs: Sequence[Ids]) -> Inputs:
    """Inputs as tensors, with their attention mask."""
    import torch

    longest = max(map(len, inputs))
    ids = torch.full((len(inputs), longest), pad)
    mask = torch.zeros((len(inputs), longest), dtype=torch.long)
    for number, row in enumerate(inputs):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _worst(rows: list[list[float]]) -> list[float]:
    """The window that counts, as the app reads them."""
    if len(rows) == 1:
        return rows[0]
    windows = [Window(calibration.probabilities(row).tolist()) for row in rows]
    worst = FAMILY.read(windows).probabilities
    return next(
        row for row, one in zip(rows, windows, strict=True) if tuple(one.probabilities) == worst
    )


def _by_tokens(windows: Sequence[tuple[int, Ids]]) -> list[list[tuple[int, Ids]]]:
    """Groups of windows in order of length, of about as many tokens each."""
    groups: list[list[tuple[int, Ids]]] = []
    for one in windows:
        if not groups or len(one[1]) * (len(groups[-1]) + 1) > _TOKENS:
            groups.append([])
        groups[-1].append(one)
    return groups
