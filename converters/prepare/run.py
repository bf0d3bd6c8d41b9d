"""A preparation from recipe to dataset: what runs in which order, and what is kept for a rerun.

Everything between input and output lies in a work folder inside the output folder, named after
all that the dataset follows from. A run that is killed leaves its finished partitions there, and
the next run with the same recipe and inputs goes on from them. The dataset's own files appear only
when all of them are finished; the manifest is the last.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from converters.errors import DataError, PipelineError
from converters.prepare.claim import LOCK, claimed
from converters.prepare.engine import Engine, start_engine
from converters.prepare.inputs import (
    InputFile,
    slices_of,
)
from converters.prepare.manifest import NAME as MANIFEST
from converters.prepare.manifest import Manifest, damaged, read_manifest, write_manifest
from converters.prepare.outputs import FILES, Census, write_splits
from converters.prepare.plan import WORK, Plan, Request, plan
from converters.prepare.progress import Progress
from converters.prepare.recipe import (
    GLOBAL_STEPS,
    AttachRecipe,
)
from converters.prepare.row_phase import Counts, RowTask, RowWork, counts_of
from converters.prepare.steps.registry import STEPS
from converters.provenance import sha256_of

if TYPE_CHECKING:
    from converters.prepare.global_phase import GlobalPhase

CARD = ("drops.csv", "samples.md", "labels.png", "README.md")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    folder: Path
    manifest: Manifest
    ran: bool
    """False if everything was there already."""


def run(request: Request, progress: Progress) -> Outcome:
    """Make the dataset, or find that it is made. Raises PipelineError."""
    made = plan(request)
    if (finished := _finished(made)) is not None:
        return Outcome(made.folder, finished, ran=False)
    _refuse_strange(made.folder)
    try:
        with claimed(made.folder / WORK):
            return _run(made, request, progress)
    except OSError as error:
        raise PipelineError(
            f"The dataset in {made.folder} cannot be written: {error.strerror or error}.",
            "Mend that (make room on the disk, say) and run the same command again: what is "
            "finished is kept.",
        ) from error


def _run(made: Plan, request: Request, progress: Progress) -> Outcome:
    """As `run`, by the only process that is at work in the folder."""
    if (finished := _finished(made)) is not None:  # by the run that was waited for
        return Outcome(made.folder, finished, ran=False)
    _make_room(made, progress)
    engine = start_engine(request.engine, request.workers, request.address)
    manifest = _Preparation(made, engine, progress, request.slice_bytes).run()
    shutil.rmtree(made.folder / WORK, ignore_errors=True)
    return Outcome(made.folder, manifest, ran=True)


def _finished(made: Plan) -> Manifest | None:
    there = read_manifest(made.folder)
    if there is None or there.basis() != made.begun.basis() or damaged(made.folder, there):
        return None
    return there


def _refuse_strange(folder: Path) -> None:
    """Raise DataError rather than write among files of another origin."""
    own = {WORK, MANIFEST, *CARD, *FILES}
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file.", "Name a folder: --out FOLDER")
    strange = (
        [path.name for path in folder.iterdir() if path.name not in own]
        if (folder.exists() and read_manifest(folder) is None and not (folder / WORK).exists())
        else []
    )
    if strange:
        raise DataError(
            f"{folder} holds files that no preparation wrote, such as {min(strange)}.",
            "Name an empty folder: --out FOLDER",
        )


def _make_room(made: Plan, progress: Progress) -> None:
    """The work folder, without what other plans left there."""
    folder = made.folder
    if read_manifest(folder) is not None:
        progress.say(f"{folder} is of another recipe, other inputs or changed: it is made anew.")
    elif made.work.exists():
        progress.say(f"Going on with what an earlier run left in {made.work}.")
    for stale in (folder / WORK).glob("*"):
        if stale != made.work and stale.name != LOCK:
            shutil.rmtree(stale, ignore_errors=True)
    made.work.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class _Preparation:
    plan: Plan
    engine: Engine
    progress: Progress
    slice_bytes: int

    def run(self) -> Manifest:
        from converters.prepare.global_phase import GlobalPhase

        tasks, problems = self._row_tasks()
        self._row_phase(tasks)
        counts = [counts_of(Path(task.out)) for task in tasks]
        total = _added(counts)
        total.bad = [*problems, *total.bad][:20]
        if problems:
            reasons = total.drops.setdefault("read", {})
            reasons["file ends early"] = len(problems)
        full = [Path(task.out) for task, count in zip(tasks, counts, strict=True) if count.kept]
        if not full:
            raise DataError("No record is left: every row was dropped.", _most_drops(total.drops))
        phase = GlobalPhase(self.engine, full, self.plan.work, self.progress)
        census = self._global_phase(phase, total)
        return self._finish(total, census)

    def _row_tasks(self) -> tuple[list[RowTask], list[str]]:
        tasks: list[RowTask] = []
        problems = []
        with self.progress.step("look into files", len(self.plan.files)) as done:
            for file in self.plan.files:
                whole = self.plan.pipeline.make_source(file.source).whole
                pieces, problem = slices_of(file, self.plan.work, self.slice_bytes, whole=whole)
                if problem:
                    problems.append(f"{Path(file.path).name}, {problem}")
                    self._refuse(file, problem)
                for piece in pieces:
                    name = msgspec.json.encode((file.sha256, piece.form, piece.start, piece.first))
                    digest = hashlib.sha256(name).hexdigest()[:16]
                    out = self.plan.work / f"part-{len(tasks):06d}-{digest}.parquet"
                    tasks.append(RowTask(len(tasks), file.source, piece, str(out)))
                done(1)
        return tasks, problems

    def _refuse(self, file: InputFile, problem: str) -> None:
        if self.plan.pipeline.recipe.bad_rows == "fail":
            raise DataError(
                f"{file.path}, {problem}.",
                'Fetch it again, or take what there is: bad_rows = "drop" in the recipe.',
            )
        self.progress.say(f"{file.path}, {problem}: the rest of it is missing.")

    def _row_phase(self, tasks: Sequence[RowTask]) -> None:
        todo = [task for task in tasks if not Path(task.out).exists()]
        with self.progress.step("rows", len(tasks)) as done:
            done(len(tasks) - len(todo))
            texts = [msgspec.json.encode(task).decode() for task in todo]
            for _ in self.engine.run(RowWork(self.plan.pipeline), texts):
                done(1)

    def _global_phase(self, phase: GlobalPhase, total: Counts) -> Census:
        import numpy as np

        pipeline = self.plan.pipeline
        gone = np.empty(0, np.uint64)
        if "exact" in pipeline.recipe.steps:
            with self.progress.step("exact", 0):
                gone = phase.exact_losers()
            total.drops["exact"] = {"duplicate": len(gone)}
        if pipeline.near is not None:
            near = phase.near_losers(pipeline.bands, pipeline.near.threshold, gone)
            total.drops["near"] = {"near duplicate": len(near)}
            gone = np.sort(np.concatenate([gone, near]))
        changed = self._attach(phase, gone)
        with self.progress.step("split", 0):
            strata = changed.select(["number", "stratum"]) if changed is not None else None
            decisions = phase.splits(gone, pipeline.recipe.split, strata)
        out = self.plan.work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        with self.progress.step("write", 0) as done:
            return write_splits(_counted(phase.lines(decisions, changed), done), out)

    def _attach(self, phase: GlobalPhase, gone: Any) -> Any:
        settings = self.plan.pipeline.settings("attach", AttachRecipe)
        if settings is None:
            return None
        from converters.prepare.attaching import attach_rules

        return attach_rules(
            phase, gone, settings, self.plan.pipeline.attach_model, self.plan.examples
        )

    def _finish(self, total: Counts, census: Census) -> Manifest:
        from converters.prepare.card import write_card, write_drops, write_plot, write_samples

        labels: dict[str, dict[str, int]] = {}
        for (split, name), count in sorted(census.labels.items()):
            labels.setdefault(split, {})[name] = count
        kept = sum(census.splits.values())
        manifest = msgspec.structs.replace(
            self.plan.begun,
            counts={"read": total.read, "kept": kept, **dict(sorted(census.splits.items()))},
            labels=labels,
            drops=_in_order(total.drops, self.plan.pipeline.recipe.steps),
            scrubbed=total.notes,
            unreadable=total.bad,
        )
        out = self.plan.work / "out"
        with self.progress.step("card", 0):
            write_drops(out, manifest.drops)
            write_samples(out, census.samples)
            write_plot(out, labels)
            write_card(out, manifest, census)
        names = (*FILES, *CARD)
        manifest = msgspec.structs.replace(
            manifest, outputs={name: sha256_of(out / name) for name in names}
        )
        (self.plan.folder / MANIFEST).unlink(missing_ok=True)
        for name in names:
            (out / name).replace(self.plan.folder / name)
        write_manifest(self.plan.folder, manifest)
        return manifest


def _added(counts: Sequence[Counts]) -> Counts:
    total = Counts(drops={}, notes={})
    for one in counts:
        total.read += one.read
        total.kept += one.kept
        total.bad += one.bad
        for step, reasons in one.drops.items():
            mine = total.drops.setdefault(step, {})
            for reason, count in reasons.items():
                mine[reason] = mine.get(reason, 0) + count
        for note, count in one.notes.items():
            total.notes[note] = total.notes.get(note, 0) + count
    total.notes = dict(sorted(total.notes.items()))
    return total


def _in_order(drops: dict[str, dict[str, int]], steps: Iterable[str]) -> dict[str, dict[str, int]]:
    row = [name for name in steps if name in STEPS]
    return {
        step: dict(sorted(drops[step].items()))
        for step in ("read", *row, *GLOBAL_STEPS)
        if step in drops
    }


def _most_drops(drops: dict[str, dict[str, int]]) -> str:
    all_drops = [(n, step, why) for step, reasons in drops.items() for why, n in reasons.items()]
    if not all_drops:
        return "The sources gave no rows: see which kinds of rows they take."
    count, step, why = max(all_drops)
    return f"Most were dropped by {step}: {why} ({count})."


def _counted(batches: Iterable[Any], done: Callable[[int], None]) -> Iterable[Any]:
    for batch in batches:
        yield batch
        done(batch.num_rows)
