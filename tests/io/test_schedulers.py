"""The same bytes from threads, processes and a cluster whose workers are killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
import xarray as xr

from tests.io.cases import (
    blocks_done,
    coarse,
    computed,
    files,
    fine,
    job_of,
    run_zarr,
    slowly,
    start,
)
from xdeepr.errors import OutputError
from xdeepr.io import is_unfinished, regions, write_periods, write_zarr

KILLS = 10


@pytest.fixture
def out(tmp_path: Path) -> xr.Dataset:
    coarse(40).to_netcdf(tmp_path / "lr.nc")
    lr = xr.open_dataset(tmp_path / "lr.nc", chunks={"time": 5})
    return slowly(fine(lr), tmp_path, 0.05)


@pytest.fixture
def whole(out: xr.Dataset, tmp_path: Path) -> dict[str, bytes]:
    """The files of a run in one thread."""
    with dask.config.set(scheduler="synchronous"):
        write_zarr(out, tmp_path / "whole.zarr")
    (tmp_path / "log").unlink()
    return files(tmp_path / "whole.zarr")


def test_threads(out: xr.Dataset, whole: dict[str, bytes], tmp_path: Path) -> None:
    with dask.config.set(scheduler="threads", num_workers=4):
        write_zarr(out, tmp_path / "out.zarr")
    assert files(tmp_path / "out.zarr") == whole
    assert set(computed(tmp_path).values()) == {1}


@pytest.mark.slow
def test_processes(out: xr.Dataset, whole: dict[str, bytes], tmp_path: Path) -> None:
    with dask.config.set(scheduler="processes", num_workers=2):
        write_zarr(out, tmp_path / "out.zarr")
        write_periods(out, tmp_path / "out")
    assert files(tmp_path / "out.zarr") == whole
    assert set(computed(tmp_path).values()) == {2}
    xr.testing.assert_equal(
        xr.open_dataset(tmp_path / "out/t2m-ws_2021-07.nc"), out.sel(time="2021-07").compute()
    )


@pytest.mark.slow
def test_processes_end_with_a_run_that_is_killed(out: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    date = out.attrs["history"].split(" ")[0]
    run = start(run_zarr, tmp_path, path, date, 0.05, scheduler="processes")
    while computed(tmp_path).total() < 4:
        assert run.is_alive()
        time.sleep(0.01)
    children = psutil.Process(run.pid).children()
    run.kill()
    assert len(children) >= 2
    gone, _ = psutil.wait_procs(children, timeout=60)
    assert len(gone) == len(children)


@pytest.fixture
def patient_cluster() -> Iterator[None]:
    """On a busy machine a new worker may take longer than a cluster waits for it by default."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "10min"}):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("patient_cluster")
def test_a_cluster_whose_workers_are_killed(
    out: xr.Dataset, whole: dict[str, bytes], tmp_path: Path
) -> None:
    from distributed import Client, LocalCluster

    lr = xr.open_dataset(tmp_path / "lr.nc", chunks={"time": 5})
    slow = slowly(fine(lr), tmp_path, 0.2)
    del whole["zarr.json"]  # the time a block takes is a part of the graph, and so of the run
    killed = runs = 0
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    try:
        with Client(cluster) as client:
            while killed < KILLS:
                path = tmp_path / f"out-{(runs := runs + 1)}.zarr"
                run = threading.Thread(target=write_zarr, args=(slow, path))
                run.start()
                while run.is_alive() and killed < KILLS:
                    killed += kill_one(client, run, tmp_path)
                run.join()
                assert whole.items() <= files(path).items()
                assert not is_unfinished(path)
    finally:
        with suppress(KeyError):  # the cluster's own list of killed workers
            cluster.close()
    blocks = computed(tmp_path).total()
    print(f"{killed} workers killed in {runs} runs, {blocks - 80 * runs} blocks computed again")


def kill_one(client: Any, run: threading.Thread, folder: Path) -> bool:
    """Kill a worker while it works, and wait for the new one."""
    before = computed(folder).total()
    while computed(folder).total() < before + 3:
        if not run.is_alive():
            return False
        time.sleep(0.01)
    address, process = sorted(client.run(os.getpid).items())[before % 2]
    os.kill(process, signal.SIGKILL)
    while len(now := client.nthreads()) < 2 or address in now:
        time.sleep(0.05)
    return True


def test_lost_workers_are_tried_again_while_there_is_progress(
    out: xr.Dataset, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """distributed gives a task up whose workers died four times; that is not the end."""
    lost = lose_workers(monkeypatch, progress=True)
    write_zarr(out, tmp_path / "out.zarr")
    assert lost[0] == 5
    assert files(tmp_path / "out.zarr") == whole


def test_workers_that_are_always_lost_are_an_error(
    out: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose_workers(monkeypatch, progress=False)
    with pytest.raises(OutputError, match=r"lost its workers 3 times .* 0 of 40 regions"):
        write_zarr(out, tmp_path / "out.zarr")
    assert lost[0] == 3
    assert not blocks_done(job_of(out, tmp_path / "out.zarr"), tmp_path / "out.zarr")


def lose_workers(monkeypatch: pytest.MonkeyPatch, *, progress: bool) -> list[int]:
    """Let the first computations end as if workers had died, with or without a region done."""
    from concurrent.futures.process import BrokenProcessPool

    plain, lost = regions._graph, [0]

    class Losing:
        def __init__(self, *args: object) -> None:
            self.args = args

        def compute(self) -> None:
            *rest, numbers = self.args
            if lost[0] == 5:
                plain(*rest, numbers).compute()
                return
            lost[0] += 1
            if progress:
                plain(*rest, numbers[:3]).compute()
            raise BrokenProcessPool("a process died")

    monkeypatch.setattr(regions, "_graph", Losing)
    return lost
