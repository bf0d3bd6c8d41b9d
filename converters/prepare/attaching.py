"""Runs `attach` over a dataset: embeds examples and records in workers, and writes lines anew.

What matches and what is inherited is `converters.prepare.attach`'s matter. Embedding is by far the
slowest step (milliseconds a text), so every worker keeps its vectors as it goes, a finished piece
is kept as a file, and records that have both a level and a rule are not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from converters.errors import DataError
from converters.prepare.attach import Example, attach, best_matches, examples_of, rulebook_examples
from converters.prepare.candidates import remaining, save
from converters.prepare.draft import Draft
from converters.prepare.embeddings import Embedder
from converters.prepare.line import OutRow, draft_of, line_of, stratum_of
from converters.prepare.reading import stem_of
from converters.prepare.recipe import RULEBOOK, AttachRecipe
from converters.prepare.sources.base import BadRow
from converters.prepare.sources.pack import Pack, PackRecipe
from converters.provenance import replacing
from converters.records import RecordRow, record_of
from converters.rows import read_rows
from oa_chat.rulebook import Rulebook

if TYPE_CHECKING:
    from converters.prepare.global_phase import GlobalPhase

_PIECE = 2_000
"""Texts of one task: half a minute on a slow machine."""


class EmbedTask(msgspec.Struct, frozen=True):
    """Texts to embed."""

    texts: list[str]
    out: str


class EmbedWork:
    """Embeds texts by a model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(self, task: str) -> str:
        """Write the vectors of an `EmbedTask` (.npy, one row a text)."""
        todo = msgspec.json.decode(task, type=EmbedTask)
        save(Path(todo.out), _vectors(self._model, todo.texts, todo.out))
        return "{}"


class AttachTask(msgspec.Struct, frozen=True):
    """Records to give a rule and a level."""

    lines: str
    """Parquet: number, line."""
    out: str
    """Parquet: number, new_line, stratum; only of records that were given something."""


class AttachWork:
    """Finds the best example of each record."""

    def __init__(self, model: str, threshold: float, examples: str, vectors: Sequence[str]) -> None:
        self._model = model
        self._threshold = threshold
        self._examples = examples
        self._vectors = tuple(vectors)

    def __call__(self, task: str) -> str:
        """Write the changed records of an `AttachTask`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        todo = msgspec.json.decode(task, type=AttachTask)
        examples = msgspec.json.decode(Path(self._examples).read_bytes(), type=list[Example])
        pool = np.concatenate([np.load(path) for path in self._vectors])
        table = pq.read_table(todo.lines)
        rows = [msgspec.json.decode(line, type=OutRow) for line in table["line"].to_pylist()]
        found = best_matches(_vectors(self._model, [row.text for row in rows], todo.out), pool)
        changed = []
        for number, row, match in zip(table["number"].to_pylist(), rows, found, strict=True):
            draft = draft_of(row)
            if attach(draft, match, examples, self._threshold):
                changed.append((number, line_of(draft).decode(), stratum_of(draft)))
        columns = list(zip(*changed, strict=True)) or [(), (), ()]
        with replacing(Path(todo.out)) as part:
            pq.write_table(pa.table(list(map(list, columns)), schema=_schema()), part)
        return "{}"


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([("number", pa.uint64()), ("new_line", pa.string()), ("stratum", pa.string())])


def _vectors(model: str, texts: Sequence[str], out: str) -> Any:
    # A folder of its own: two workers must not write to one memory.
    return Embedder(Path(model), Path(f"{out}.vectors")).vectors(texts)


def attach_rules(
    phase: GlobalPhase, gone: Any, settings: AttachRecipe, model: str, files: Sequence[str]
) -> Any:
    """The records that were given something, as an Arrow table of number, new_line and stratum.

    Raises DataError if no example can be inherited from.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    examples = _examples(files)
    if not examples:
        raise DataError(
            "steps.attach: no record of its examples has both a level and a rule.",
            'Name files of labelled records, or the rulebook: examples = ["rulebook"]',
        )
    told = phase.work / "examples.json"
    with replacing(told) as part:
        part.write_bytes(msgspec.json.encode(examples))
    vectors = [
        EmbedTask([one.text for one in examples[at : at + _PIECE]], str(phase.work / name))
        for at in range(0, len(examples), _PIECE)
        for name in [f"examples-{at:08d}.npy"]
    ]
    _run(phase, "attach: examples", EmbedWork(model), vectors)
    tasks = list(_tasks(phase, gone))
    work = AttachWork(model, settings.threshold, str(told), [task.out for task in vectors])
    _run(phase, "attach: records", work, tasks)
    tables = [pq.read_table(task.out) for task in tasks]
    return pa.concat_tables([_schema().empty_table(), *tables])


def _run(phase: GlobalPhase, what: str, work: Any, tasks: Sequence[EmbedTask | AttachTask]) -> None:
    phase.run(what, work, [task for task in tasks if not Path(task.out).exists()])


def _tasks(phase: GlobalPhase, gone: Any) -> Iterator[AttachTask]:
    """Pieces of the records that lack a level or a rule, in the order of their numbers."""
    import pyarrow.parquet as pq

    table = phase.incomplete().to_arrow()
    table = table.filter(remaining(table["number"].to_numpy(), gone)).sort_by("number")
    for at in range(0, table.num_rows, _PIECE):
        lines = phase.work / f"attach-{at:09d}.parquet"
        with replacing(lines) as part:
            pq.write_table(table.slice(at, _PIECE), part)
        yield AttachTask(str(lines), str(phase.work / f"attached-{at:09d}.parquet"))


def _examples(files: Sequence[str]) -> list[Example]:
    found: list[Example] = []
    for name in files:
        if name == RULEBOOK:
            found += rulebook_examples(Rulebook.load())
        else:
            found += examples_of(_drafts(Path(name)))
    return found


def _drafts(path: Path) -> Iterator[Draft]:
    source = Pack(PackRecipe(name=path.name))
    for made in source.drafts(_rows(path), stem_of(path.name)):
        if isinstance(made, BadRow):
            raise DataError(f"{path}, line {made.number}: {made.why}.")
        yield made


def _rows(path: Path) -> Iterator[tuple[int, RecordRow]]:
    for number, row in read_rows(path):
        yield number, record_of(row, f"{path}, line {number}").row
