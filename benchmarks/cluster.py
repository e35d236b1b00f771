"""Memory and speed on a dask cluster.

First a global field of about 5 km, some realizations of it, written to zarr by two workers that
may use 4 GiB each: the peak memory of each worker, and the size of the graph. A quarter of that
domain for comparison: the peak is that of a block, not of the domain. The network is a mere
stand-in, for its memory depends on the batch.

Then the speed of two workers over that of one, with one thread each and the real network, on a
domain of 40 blocks. Work is handed out block by block, so the ratio says how much workers hinder
one another. It needs two idle cores: what two processes without dask gain is printed beside it.

    python benchmarks/cluster.py [memory | speed]
"""

from __future__ import annotations

import os

# read when torch and glibc start, here and in the workers, which inherit them
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "17179869184")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "4294967296")

import multiprocessing
import pickle
import statistics as stats
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import psutil
import xarray as xr
from _common import FACTOR, coarse, machine, peak_memory, report, saved, seconds, untrained
from dask._task_spec import convert_legacy_graph
from distributed import Client, LocalCluster

from xdeepr.grids import grid_of
from xdeepr.networks import NETWORKS

MEMBERS, LIMIT = 3, 4 * 2**30
NETWORKS["pixelwise"] = "memory:Pixelwise"


def globe(rows: int, columns: int) -> xr.Dataset:
    """Return one LR field of the globe, made lazily, in cells that the model thinks are its own."""
    values = da.random.default_rng(0).normal(285, 8, (1, rows, columns), chunks=(1, 270, 540))
    ds = coarse((2, 2), 1, chunk=1)
    axes = {"latitude": (rows, -90, 180), "longitude": (columns, 0, 360)}
    coords = {
        name: (name, first + (np.arange(n) + 0.5) * span / n, ds[name].attrs)
        for name, (n, first, span) in axes.items()
    }
    t2m = (("time", *coords), values.astype("float32"), ds.t2m.attrs)
    return xr.Dataset({"t2m": t2m}, {"time": ds.time, **coords})


def model_for(lr: xr.Dataset, tile: tuple[int, int], network: str) -> Any:
    """Return a model with random weights that keeps orography and land-sea mask of a domain."""
    model = untrained(tile, network)
    grid = grid_of(lr)
    model.card = replace(model.card, resolution=(grid.y.step, grid.x.step))
    y, x = grid.refine(FACTOR).values()
    ramp = np.linspace(0, 1, x.size, dtype="float32") * np.ones((y.size, 1), "float32")
    model.covariate_arrays = {"values": np.stack([ramp, 1 - ramp]), "y": y, "x": x}
    return model


@contextmanager
def cluster(workers: int, limit: int = LIMIT) -> Iterator[Client]:
    """Yield a client of some worker processes that have started and loaded torch."""
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=limit, dashboard_address=":0"
        ) as local,
        Client(local) as client,
    ):
        client.run(_prepare)
        yield client


def _prepare() -> None:
    """Import what a first task would import, and know the stand-in network."""
    import xdeepr.models.downscaler  # noqa: F401

    NETWORKS["pixelwise"] = "memory:Pixelwise"


def graph_bytes(array: da.Array) -> tuple[int, int]:
    """Return the number of tasks and the bytes of all, pickled one by one."""
    tasks = convert_legacy_graph(dict(array.__dask_graph__()))
    return len(tasks), sum(len(pickle.dumps(task)) for task in tasks.values())


def memory() -> None:
    """Print peak memory of two workers on the whole globe and on coarser ones."""
    for rows, columns in ((540, 1080), (1080, 2160)):
        lr = globe(rows, columns)
        model = model_for(lr, (256, 256), "pixelwise")
        with saved(model) as folder, cluster(2) as client, tempfile.TemporaryDirectory() as scratch:
            idle = client.run(peak_memory)
            start = time.perf_counter()
            out = lr.deepr.downscale(folder, members=MEMBERS, steps=2)
            planned = time.perf_counter() - start
            tasks, size = graph_bytes(out.t2m.data)
            took = seconds(lambda out=out, to=f"{scratch}/out.zarr": out.to_zarr(to))
            peaks = client.run(peak_memory)
            loads = client.run(lambda: len(sys.modules["xdeepr.models.cache"]._LOADED))
        height, width = FACTOR * rows, FACTOR * columns
        print(f"{MEMBERS} realizations on {height}x{width}, {out.nbytes / 1e6:.0f} MB")
        report("planned in", planned, "s")
        report("tasks", tasks)
        report("graph", size / 1e6, "MB")
        report(
            "static covariates, which tasks read",
            model.covariate_arrays["values"].nbytes / 1e6,
            "MB",
        )
        report("most memory of a worker before", max(idle.values()), "MB")
        for number, peak in enumerate(peaks.values()):
            report(f"peak memory of worker {number}", peak, "MB", target=LIMIT / 1e6)
        report("models loaded by a worker, at most", max(loads.values()), target=1)
        report("written at", MEMBERS * height * width / took / 1e6, "Mpx/s")


def speed(rounds: int = 3) -> None:
    """Print the speed of two workers over that of one, and what the machine allows."""
    lr = coarse((16, 16), 160, chunk=4)
    shape = (FACTOR * 16, FACTOR * 16)
    network_calls = 5
    with saved(model_for(lr, shape, "unet2d")) as folder:

        def run(client: Client) -> float:
            out = lr.deepr.downscale(folder, steps=network_calls, batch_size=4, seed=next(seeds))
            return seconds(lambda: out.t2m.mean().compute(scheduler=client))

        seeds = iter(range(1000))
        times: dict[int, list[float]] = {1: [], 2: []}
        without_dask: list[float] = []
        for _ in range(rounds):
            for workers, took in times.items():
                with cluster(workers) as client:  # one at a time: an idle one takes cores too
                    run(client)  # loads the model
                    took.append(run(client))
            without_dask.append(ideal())
    busy = psutil.getloadavg()[0]
    ratios = [a / b for a, b in zip(times[1], times[2], strict=True)]
    what = f"{lr.time.size} fields of {shape[0]}x{shape[1]} by fours, {network_calls} steps"
    print(f"{what}; load {busy:.1f}")
    report("one worker", stats.median(times[1]), "s")
    report("two workers", stats.median(times[2]), "s")
    report("gain of a second worker (wanted: 1.8)", stats.median(ratios))
    report("gain of a second process without dask", stats.median(without_dask))


def ideal() -> float:
    """Return how much more two processes do than one that only evaluate the network."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(_evaluate, [1, 1], chunksize=1)
        alone = pool.apply(_evaluate, (40,))
        both = max(pool.map(_evaluate, [40, 40], chunksize=1))
    return 2 * alone / both


def _evaluate(times: int) -> float:
    """Return the seconds that some evaluations take."""
    import torch

    torch.set_num_threads(1)
    network = untrained((64, 64)).network.eval()
    inputs, label = torch.randn(4, 8, 64, 64), torch.zeros(4)
    with torch.inference_mode():
        network(inputs, label)
        return seconds(lambda: [network(inputs, label) for _ in range(times)])


def main(*parts: str) -> None:
    """Measure memory, speed or both."""
    print(machine())
    warnings.filterwarnings("ignore", message="Consolidated metadata")
    for part in parts or ("memory", "speed"):
        {"memory": memory, "speed": speed}[part]()


if __name__ == "__main__":
    main(*sys.argv[1:])
