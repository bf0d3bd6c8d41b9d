"""Runs a preparation's work on Daft: embedded in this process, or on a Ray cluster.

Two things are asked of the engine. Tasks (Python work on one file or slice each) run in worker
processes, as a stateful Daft function over a frame of task descriptions. Relations (groups, joins
and the final sort) are plain Daft frames over Parquet files. Both are the same plan on both
engines; on a cluster the work folder must lie where every machine sees it.

The workers answer in the order of the tasks, and nothing may depend on their number.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import msgspec

from converters.errors import DataError, PipelineError, RecipeError
from converters.extras import require
from oa_chat.errors import OaChatError

EngineName = Literal["local", "ray"]
_CONNECT_SECONDS = 10.0
"""For a cluster's first answer."""


class Work(Protocol):
    """What a worker does with one task. It is pickled, so it holds plain values only."""

    def __call__(self, task: str) -> str:
        """The answer to a task; both are JSON texts."""


class _Failure(msgspec.Struct, frozen=True):
    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the work is done."""

    name: EngineName
    workers: int
    """How many worker processes, on all machines together."""

    def run(self, work: Work, tasks: Sequence[str], *, threads: bool = False) -> Iterator[str]:
        """The answers of the tasks in order, as they come. Raises PipelineError.

        `threads` says that the work is numpy's and Arrow's, which threads of this process share as
        well: it is done sooner than worker processes have started. A cluster does not care.
        """
        if not tasks:
            return
        workers = min(self.workers, len(tasks))
        if self.name == "local" and threads:
            with ThreadPoolExecutor(workers) as pool:
                yield from map(_opened, pool.map(partial(_answered, work), tasks))
            return
        if self.name == "local" and workers == 1:
            # There is nobody to share the work with: a process would only have to be started.
            for task in tasks:
                yield _opened(_answered(work, task))
            return
        import daft

        runner = _runner(workers, self.name)(work)
        frame = daft.from_pydict({"task": list(tasks)})
        if self.name == "ray":
            frame = frame.into_partitions(len(tasks))
        frame = frame.select(runner.answer(daft.col("task")).alias("answer"))
        answers = _plainly(frame.iter_rows(results_buffer_size=None))
        for row in answers:
            yield _opened(row["answer"])

    @property
    def frames(self) -> Any:
        """The Daft module, for relations."""
        import daft

        return daft


def start_engine(name: EngineName, workers: int, address: str = "") -> Engine:
    """The engine, ready to work. `workers` 0 means one for each processor.

    Raises UsageError if a package is missing, PipelineError if the cluster cannot be reached.
    """
    require("data", "daft", "pyarrow")
    # Neither Daft nor Ray is to tell its makers that it was used, nor to draw over our progress.
    os.environ.update(
        DAFT_ANALYTICS_ENABLED="0",
        SCARF_NO_ANALYTICS="true",
        DO_NOT_TRACK="true",
        DAFT_PROGRESS_BAR="0",
        RAY_USAGE_STATS_ENABLED="0",
    )
    if name == "local":
        # Whatever a shell on a cluster has set. Daft takes its runner once, when it is first used.
        os.environ["DAFT_RUNNER"] = "native"
        return Engine(name, workers or _processors())
    require("cluster", "ray")
    import daft

    processors = _join_cluster(address, workers)
    daft.set_runner_ray()
    return Engine(name, workers or processors)


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _join_cluster(address: str, workers: int) -> int:
    """Join the cluster, or start one on this machine; the number of its processors."""
    import ray

    _knock(address)
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": workers or None}
    if not address:
        # Columns go through Ray's store only between the steps of a relation.
        own["object_store_memory"] = 256 * 2**20
    try:
        ray.init(
            address=address or "local",
            logging_level="error",
            log_to_driver=False,
            **({} if address else own),
        )
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _no_cluster(address, error) from error


def _knock(address: str) -> None:
    """Raise PipelineError if nobody listens at HOST:PORT: Ray itself tries for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> PipelineError:
    return PipelineError(
        f"The Ray cluster at {address or 'this machine'} cannot be used: {error}.",
        "Look whether it runs: ray status --address ADDRESS",
    )


def _runner(workers: int, engine: EngineName) -> Callable[[Work], Any]:
    import daft

    class TaskRunner:
        def __init__(self, work: Work) -> None:
            self._work = work

        @daft.method.batch(  # type: ignore[untyped-decorator]
            return_dtype=daft.DataType.string(), batch_size=1
        )
        def answer(self, tasks: Any) -> list[str]:
            return [_answered(self._work, task) for task in tasks.to_pylist()]

    made: Callable[[Work], Any] = daft.cls(
        TaskRunner, max_concurrency=workers, use_process=engine == "local" or None
    )
    return made


def _answered(work: Work, task: str) -> str:
    """The answer, or the failure as data: an exception would come back as a mere text."""
    failure: _Failure
    try:
        return "+" + work(task)
    except OaChatError as error:
        failure = _Failure(type(error).__name__, error.message, error.hint)
    except MemoryError:
        failure = _Failure("MemoryError", "A worker has no memory left.", "Use fewer --workers.")
    except OSError as error:
        what = error.strerror or str(error)
        failure = _Failure(
            "OSError",
            f"A worker cannot go on: {what}.",
            "Mend that (make room on the disk, say) and run the same command again: what is "
            "finished is kept.",
        )
    return "-" + msgspec.json.encode(failure).decode()


def _opened(answer: str) -> str:
    if answer.startswith("+"):
        return answer[1:]
    failure = msgspec.json.decode(answer[1:], type=_Failure)
    kinds: dict[str, type[PipelineError]] = {"DataError": DataError, "RecipeError": RecipeError}
    raise kinds.get(failure.kind, PipelineError)(failure.message, failure.hint)


def _plainly(rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    """The rows; an error of the engine itself (a worker that was killed) as ours."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except OaChatError:
            raise
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise PipelineError(
                f"The engine stopped: {first}",
                "Was a worker killed, for want of memory perhaps? Run the same command again: "
                "what is finished is kept. Fewer --workers need less memory.",
            ) from error
        yield row
