"""Predictions with a memory: what was judged once is read back, so that a run can be interrupted.

The memory is one file a (model, set) pair, ``cache/MODEL-SET.jsonl`` (the first 16 digits of both
SHA-256), with a line a message. A half-written last line, or a file of another version of the
program, is thrown away. Answers that an engine failed to give are not remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from converters.errors import DataError
from converters.evaluate.judges import BATCH, Judge, JudgeInfo
from converters.evaluate.outcomes import LEVELS, Prediction
from converters.evaluate.progress import progress
from converters.evaluate.samples import LabelledSet, Sample
from oa_chat import __version__


class _Head(msgspec.Struct, frozen=True):
    """The first line: answers are only comparable if all of this is the same."""

    model: str
    data: str
    family: str
    program: str
    form: int = 1


class _Line(msgspec.Struct, frozen=True, array_like=True):
    number: int
    level: int | None
    probabilities: tuple[float, ...] | None
    rule: str = ""
    failure: str = ""


class Memory:
    """The remembered predictions of a model on a set. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, info: JudgeInfo, data: LabelledSet) -> None:
        self._head = _Head(info.sha256, data.sha256, info.family, __version__)
        self._path = folder and folder / f"{info.sha256[:16]}-{data.sha256[:16]}.jsonl"
        self.known: dict[int, Prediction] = {}
        """By number of the sample."""
        self._end = 0
        """Bytes of the file that are sound."""
        if self._path:
            self._read(self._path)

    def keep(self, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Remember some predictions. Raises DataError if the folder cannot be written."""
        pairs = list(zip(samples, predictions, strict=True))
        self.known |= {sample.number: one for sample, one in pairs}
        if self._path is None:
            return
        lines = [
            _Line(sample.number, one.level, one.probabilities, one.rule, one.failure)
            for sample, one in pairs
            if not one.lost
        ]
        try:
            self._append(self._path, lines)
        except OSError as error:
            raise DataError(
                f"{self._path} cannot be written: {error}.", "Name another folder with --out."
            ) from error

    def _append(self, path: Path, lines: Sequence[_Line]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(self._end)
            file.seek(self._end)
            if not self._end:
                file.write(msgspec.json.encode(self._head) + b"\n")
            for line in lines:
                file.write(msgspec.json.encode(line) + b"\n")
            self._end = file.tell()

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.") from error
        if not lines or lines[0] != msgspec.json.encode(self._head) + b"\n":
            return
        self._end = len(lines[0])
        decoder = msgspec.json.Decoder(_Line)
        for raw in lines[1:]:
            try:
                line = decoder.decode(raw)
            except msgspec.MsgspecError:
                return
            if not raw.endswith(b"\n") or not _sound(line):
                return
            self._end += len(raw)
            self.known[line.number] = Prediction(
                line.level, line.probabilities, line.rule, line.failure
            )


def _sound(line: _Line) -> bool:
    """Whether the line can be a prediction."""
    row = line.probabilities
    return (line.level is None or 0 <= line.level < LEVELS) and (row is None or len(row) == LEVELS)


def predict(judge: Judge, data: LabelledSet, folder: Path | None) -> list[Prediction]:
    """A prediction for every sample of the set, remembered in `folder` if there is one.

    Batches are cut at the same places whatever is known, and judged whole: what stands beside a
    text in a batch moves its probabilities in the fifth decimal, and an interrupted run is to give
    what another one gives.
    """
    memory = Memory(folder, judge.info, data)
    batches = [data.samples[at : at + BATCH] for at in range(0, len(data.samples), BATCH)]
    missing = [batch for batch in batches if any(one.number not in memory.known for one in batch)]
    done = len(data.samples) - sum(map(len, missing))
    with progress(f"{judge.info.name} on {data.name}", len(data.samples), done) as advance:
        for batch in missing:
            memory.keep(batch, judge.judge([sample.messages for sample in batch]))
            advance(len(batch))
    return [memory.known[sample.number] for sample in data.samples]
