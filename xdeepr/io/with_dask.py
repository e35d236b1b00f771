"""The one door into dask: what it does when it computes, and what it does not let be asked.

`tests/io/test_dask_private.py` holds what is relied on here.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import dask
import dask.array as da
import dask.multiprocessing
import dask.threaded
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.system import CPU_COUNT


def as_one_task(name: str, graph: Mapping[Any, Any], arrays: Sequence[Any]) -> Delayed:
    """Return a graph whose last task is `name`, to be computed after the arrays that it needs.

    It is optimized as one of arrays, so that a block is computed and written in one go.
    """
    layers = HighLevelGraph.from_collections(name, graph, dependencies=arrays)
    return Delayed(name, da.Array.__dask_optimize__(layers, [name]))


def roots(array: da.Array) -> list[str]:
    """Return the names of the layers of a graph that all others are computed from."""
    dependencies = getattr(array.__dask_graph__(), "dependencies", {})
    return sorted(name for name, needed in dependencies.items() if not needed)


def workers() -> int:
    """Return how many tasks dask runs at a time."""
    get = dask.base.get_scheduler() or dask.threaded.get
    client: Any = getattr(get, "__self__", None)
    if hasattr(client, "nthreads"):  # of distributed
        return max(1, sum(client.nthreads().values()))
    if get is dask.get:
        return 1
    return int(dask.config.get("num_workers", None) or CPU_COUNT)


def lost_workers(error: Exception) -> bool:
    """Whether an error says that worker processes died, not that a task failed."""
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker | BrokenProcessPool)


class Processes:
    """The processes of dask's "processes", kept from one computation to the next.

    dask itself would start new ones each time, which load libraries and model anew.
    """

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None

    def used(self) -> AbstractContextManager[Any]:
        """Let dask compute in them while a block runs, if it is set to processes."""
        mine = dask.base.get_scheduler() is dask.multiprocessing.get
        if not mine or dask.config.get("pool", None) is not None:
            return nullcontext()
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                workers(),
                mp_context=dask.multiprocessing.get_context(),
                initializer=_begin_process,
                initargs=(dask.config.get("multiprocessing.initializer", None),),
            )
        return dask.config.set(pool=self.pool)

    def close(self) -> None:
        """End them, for good or because one has died."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
        self.pool = None


def _begin_process(initializer: Callable[[], object] | None) -> None:
    """Set up a worker as dask does, and watch the parent: a killed one sends nobody home."""
    dask.multiprocessing.initialize_worker_process(initializer)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
