"""What we rely on inside dask; a new version of it may break this file first."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool

import dask
import dask.array as da
import numpy as np
import pytest

from xdeepr.io import with_dask


@pytest.fixture
def array(rng: np.random.Generator) -> da.Array:
    return da.from_array(rng.random((4, 6)), chunks=(2, 3)) + 1


def test_a_task_of_our_own_comes_after_the_blocks_it_names(array: da.Array) -> None:
    """Tasks are tuples of a function and its arguments, of which keys stand for results."""
    seen = []

    def write(place: str, block: np.ndarray) -> float:
        seen.append(place)
        return float(block.sum())

    keys = [(i, j) for i in range(2) for j in range(2)]
    graph = {("ours", *k): (write, f"place {k}", (array.name, *k)) for k in keys}
    graph["last"] = (sum, [("ours", *k) for k in keys])
    total = with_dask.as_one_task("last", graph, [array]).compute(scheduler="synchronous")
    assert total == pytest.approx(float(array.sum().compute()))
    assert sorted(seen) == sorted(f"place {k}" for k in keys)


def test_a_block_is_computed_and_written_in_one_go(array: da.Array) -> None:
    """dask fuses the tasks of a block; otherwise all blocks could lie in memory at once."""
    order = []

    def compute(block: np.ndarray) -> np.ndarray:
        order.append("computed")
        return block

    def write(block: np.ndarray) -> None:
        order.append("written")

    blocks = array.map_blocks(compute, dtype=array.dtype, meta=np.empty((0, 0)))
    keys = [(i, j) for i in range(2) for j in range(2)]
    graph = {("ours", *k): (write, (blocks.name, *k)) for k in keys}
    graph["last"] = (len, [("ours", *k) for k in keys])
    with_dask.as_one_task("last", graph, [blocks]).compute(scheduler="synchronous")
    assert order == 4 * ["computed", "written"]


def test_the_roots_of_a_graph_stand_for_its_inputs(rng: np.random.Generator) -> None:
    one, other = (da.from_array(rng.random(6), chunks=3) for _ in range(2))
    names = with_dask.roots((one + other) * 2)
    assert set(names) <= set(((one + other) * 2).__dask_graph__().dependencies)
    assert with_dask.roots(one + 1) == with_dask.roots(one * 3)
    assert with_dask.roots(one + 1) != with_dask.roots(other + 1)
    again = da.from_array(one.compute(), chunks=3)
    assert with_dask.roots(again + 1) == with_dask.roots(one + 1)


def test_the_number_of_workers_is_that_of_the_scheduler() -> None:
    with dask.config.set(scheduler="synchronous"):
        assert with_dask.workers() == 1
    for scheduler in ("threads", "processes"):
        with dask.config.set(scheduler=scheduler, num_workers=3):
            assert with_dask.workers() == 3
    with dask.config.set(scheduler="threads", num_workers=None):
        assert with_dask.workers() == dask.system.CPU_COUNT


@pytest.mark.slow
def test_the_number_of_workers_of_a_cluster() -> None:
    from distributed import Client

    with Client(n_workers=1, threads_per_worker=3, processes=False, dashboard_address=None):
        assert with_dask.workers() == 3


def test_lost_workers_are_told_from_failed_tasks() -> None:
    from distributed.scheduler import KilledWorker

    assert with_dask.lost_workers(KilledWorker("task", "worker", 3))
    assert with_dask.lost_workers(BrokenProcessPool())
    assert not with_dask.lost_workers(OSError())


def _process(block: np.ndarray) -> np.ndarray:
    return np.full(block.shape, os.getpid())


def test_processes_are_kept_from_one_computation_to_the_next() -> None:
    array = da.zeros(4, chunks=1).map_blocks(_process, dtype=int, meta=np.empty(0, int))
    processes = with_dask.Processes()
    with dask.config.set(scheduler="processes", num_workers=2):
        first, second = [], []
        for numbers in (first, second):
            with processes.used():
                numbers.extend(array.compute())
    processes.close()
    assert os.getpid() not in first
    assert len({*first, *second}) <= 2
    with processes.used():  # dask is set to threads: nothing is started
        assert processes.pool is None
