"""The steps that look at all records: exact and near duplicates, and the split.

They work on the columns that the row phase left in its partitions and say which records stay, by
number. The heavy relations run on the engine; what comes back here is members of groups, pairs of
candidates, and one row of numbers for each record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from converters.prepare.candidates import (
    BandTask,
    BandWork,
    VerifyTask,
    VerifyWork,
    remaining,
    save,
)
from converters.prepare.engine import Engine
from converters.prepare.progress import Progress
from converters.prepare.recipe import SplitRecipe
from converters.prepare.split import split_of
from converters.provenance import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]

_TOGETHER = 20_000
"""Records in one task of the verification: some seconds."""


@dataclass(frozen=True)
class GlobalPhase:
    """The partitions of a preparation, seen as a whole."""

    engine: Engine
    partitions: Sequence[Path]
    work: Path
    progress: Progress

    def exact_losers(self) -> U64:
        """The numbers of records of which an equal one, as well labelled or better, stays."""
        frame = self._frame("number", "rank", "print_a", "print_b")
        prints = ["print_a", "print_b"]
        col = self.engine.frames.col
        groups = frame.groupby(*prints).agg(col("number").count().alias("equal"))
        groups = groups.where(col("equal") > 1).select(*prints)
        members = frame.join(groups, on=prints).select("number", "rank", *prints).to_arrow()
        number, rank, a, b = (_numbers(members, name) for name in ("number", "rank", *prints))
        # Records of one rank are equal to the last letter: any of them may stay.
        order = np.lexsort((number, rank, b, a))
        again = (a[order][1:] == a[order][:-1]) & (b[order][1:] == b[order][:-1])
        return np.sort(number[order][1:][again])

    def near_losers(self, bands: int, threshold: float, gone: U64) -> U64:
        """The numbers of records that are nearly another one which stays; `gone` are not asked."""
        from converters.prepare.near import joined_pairs

        gone_file = self.work / "gone.npy"
        save(gone_file, gone)
        paths = [str(path) for path in self.partitions]
        tasks = [
            BandTask(band, paths, str(gone_file), str(self.work / f"pairs-{band:02d}.npy"))
            for band in range(bands)
        ]
        self.run("near: candidates", BandWork(), tasks, threads=True)
        pairs = joined_pairs(np.load(task.out) for task in tasks)
        if not len(pairs):
            return np.empty(0, np.uint64)
        verify = self._verify_tasks(pairs, gone)
        self.run("near: compare", VerifyWork(threshold), verify)
        return np.sort(np.concatenate([np.load(task.out) for task in verify]))

    def _verify_tasks(self, pairs: NDArray[np.int64], gone: U64) -> list[VerifyTask]:
        """Files of the candidates' texts, whole groups together."""
        import pyarrow as pa

        from converters.prepare.near import components

        number = np.sort(_numbers(self._frame("number").to_arrow(), "number"))
        number = number[remaining(number, gone)]
        places, inside = np.unique(pairs, return_inverse=True)
        group = components(len(places), inside.reshape(pairs.shape))
        # Groups side by side: a bin is a run of groups of about the wanted size.
        order = np.argsort(group, kind="stable")
        opens = np.flatnonzero(np.diff(group[order], prepend=-1))
        bins = np.empty(len(places), np.int32)
        bins[order] = np.repeat(opens // _TOGETHER, np.diff(opens, append=len(places)))
        wanted = pa.table({"number": number[places], "place": places, "bin": bins})
        frame = self._frame("number", "rank", "line").join(
            self.engine.frames.from_arrow(wanted), on="number"
        )
        table = frame.sort(["bin", "place"]).to_arrow()
        edges = bins[inside.reshape(pairs.shape)[:, 0]]
        return [self._verify_task(int(one), table, pairs[edges == one]) for one in np.unique(bins)]

    def _verify_task(self, which: int, table: Any, pairs: NDArray[np.int64]) -> VerifyTask:
        import pyarrow.parquet as pq

        start, stop = np.searchsorted(_numbers(table, "bin"), (which, which + 1))
        texts = self.work / f"compare-{which:05d}.parquet"
        with replacing(texts) as part:
            pq.write_table(table.slice(start, stop - start), part, compression="NONE")
        edges = self.work / f"edges-{which:05d}.npy"
        save(edges, pairs)
        return VerifyTask(str(texts), str(edges), str(self.work / f"near-{which:05d}.npy"))

    def splits(self, gone: U64, recipe: SplitRecipe, strata: Any = None) -> Any:
        """The records that stay, as an Arrow table of number and split.

        `strata` is a table of number and stratum for records whose levels changed since.
        """
        import pyarrow as pa

        table = self._frame("number", "thread_key", "stratum", "pin").to_arrow()
        number = _numbers(table, "number")
        stays = remaining(number, gone)
        names = table["stratum"].combine_chunks()
        if strata is not None and len(strata):
            names = _replaced(names, number, strata)
        coded = names.dictionary_encode()
        split = split_of(
            _numbers(table, "thread_key")[stays],
            coded.dictionary.to_pylist(),
            coded.indices.to_numpy(zero_copy_only=False).astype(np.int32)[stays],
            _numbers(table, "pin")[stays],
            recipe,
        )
        return pa.table({"number": number[stays], "split": split})

    def lines(self, decisions: Any, changed: Any = None) -> Iterator[Any]:
        """Arrow batches (split, line), split by split, in the order of the records' hashes."""
        daft = self.engine.frames
        frame = self._frame("number", "key", "line").join(daft.from_arrow(decisions), on="number")
        if changed is not None and len(changed):
            news = daft.from_arrow(changed.select(["number", "new_line"]))
            frame = frame.join(news, on="number", how="left")
            line = daft.col("new_line").fill_null(daft.col("line"))
            frame = frame.select("split", "key", line.alias("line"))
        ordered = frame.select("split", "key", "line").sort(["split", "key", "line"])
        yield from ordered.select("split", "line").to_arrow_iter()

    def _frame(self, *columns: str) -> Any:
        return self.engine.frames.read_parquet([str(path) for path in self.partitions]).select(
            *columns
        )

    def incomplete(self) -> Any:
        """A frame of number and line of the records that lack a level or a rule."""
        frame = self._frame("number", "line")
        col = self.engine.frames.col
        # Within a JSON text a quote is escaped, so these are found as keys only.
        return frame.where(
            col("line").contains('"labels":[],') | col("line").contains('"rules":[],')
        )

    def run(
        self, what: str, work: Any, tasks: Sequence[msgspec.Struct], *, threads: bool = False
    ) -> None:
        """Let the engine do tasks whose answers are files; for `threads` see `Engine.run`."""
        with self.progress.step(what, len(tasks)) as done:
            texts = [msgspec.json.encode(task).decode() for task in tasks]
            for _ in self.engine.run(work, texts, threads=threads):
                done(1)


def _numbers(table: Any, name: str) -> Any:
    return table[name].to_numpy()


def _replaced(names: Any, number: U64, strata: Any) -> Any:
    """The strata with those of changed records put in."""
    import pyarrow as pa

    values = names.to_pylist()
    order = np.argsort(number)
    places = order[np.searchsorted(number[order], _numbers(strata, "number"))]
    for place, value in zip(places.tolist(), strata["stratum"].to_pylist(), strict=True):
        values[place] = value
    return pa.array(values)
