"""Results that take their time, and runs in processes of their own that can be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from xdeepr.io import write_periods, write_zarr
from xdeepr.io.journal import DONE, FOLDER, read_numbers
from xdeepr.io.stores import _Job

LOG = "log"
"""File in which blocks are noted once they are computed."""

WAIT = "wait"
"""File that keeps blocks from being done as long as it is there."""

LIMIT = "limit"
"""File with the number of blocks after which the computation ends in an error."""


class Stop(Exception):
    """Ends a run on purpose."""


CONTEXT = multiprocessing.get_context("forkserver")
NEEDED = """torch zarr netCDF4 distributed xarray pint_xarray cf_xarray.units cfgrib.xarray_plugin
xdeepr.models.downscaler xdeepr.downscaling.graph xdeepr.downscaling.verb xdeepr.io"""
CONTEXT.set_forkserver_preload(NEEDED.split())
"""What a run needs is imported once, so that its start does not take seconds."""


def coarse(times: int = 12, *, start: str = "2021-06-28") -> xr.Dataset:
    """Two variables on 6 × 8 cells, six-hourly, with bounds, in CF's words."""
    rng = np.random.default_rng(3)
    time = np.datetime64(start, "ns") + np.arange(times) * np.timedelta64(6, "h")
    shape, dims = (times, 6, 8), ("time", "latitude", "longitude")
    kinds = {"t2m": ("K", "air_temperature", 285), "ws": ("m s-1", "wind_speed", 9)}
    fields = {
        name: (dims, rng.normal(mean, 2, shape).astype("f4"), {"units": u, "standard_name": s})
        for name, (u, s, mean) in kinds.items()
    }
    return xr.Dataset(
        fields,
        {
            "time": ("time", time, {"standard_name": "time"}),
            "latitude": ("latitude", 50.5 - np.arange(6), {"units": "degrees_north"}),
            "longitude": ("longitude", 0.5 + np.arange(8), {"units": "degrees_east"}),
        },
    )


def fine(lr: xr.Dataset, *, date: str = "2021-07-01T00:00:00Z", batch: int = 1) -> xr.Dataset:
    """The interpolated fields in one block for each time, made at a stated date."""
    out = lr.deepr.downscale("bicubic", factor=2, batch_size=batch)
    _, history = out.attrs["history"].split(" ", 1)
    return out.assign_attrs(history=f"{date} {history}")


def slowly(out: xr.Dataset, folder: Path, seconds: float) -> xr.Dataset:
    """The same values; each block takes its time and is noted in the folder's log.

    The graph has the same names at every start. Where the folder has a limit, it is kept.
    """
    slow = {
        name: field.copy(
            data=da.map_blocks(
                _slow,
                field.data,
                name,
                str(folder),
                seconds,
                dtype=field.dtype,
                meta=field.data._meta,
            )
        )
        for name, field in out.data_vars.items()
        if field.chunks
    }
    return out.assign(slow)


def _slow(block: np.ndarray, name: str, folder: str, seconds: float, block_info: Any = None) -> Any:
    time.sleep(seconds)
    while Path(folder, WAIT).exists():
        time.sleep(0.01)
    limit = Path(folder, LIMIT)
    if limit.exists() and computed(Path(folder)).total() >= int(limit.read_text()):
        raise Stop
    place = block_info[0]["chunk-location"] if block_info else ()
    handle = os.open(Path(folder, LOG), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{json.dumps([name, *map(int, place)])}\n".encode())
    os.close(handle)
    return block


@contextmanager
def limited(folder: Path, blocks: int) -> Iterator[None]:
    """Let a computation end after so many blocks more, which are done one after the other."""
    (folder / LIMIT).write_text(str(computed(folder).total() + blocks))
    try:
        with dask.config.set(scheduler="synchronous"):
            yield
    except Stop:
        pass
    else:
        raise AssertionError("the computation did not stop")
    finally:
        (folder / LIMIT).unlink()


def computed(folder: Path) -> Counter[str]:
    """How often each block was computed."""
    log = folder / LOG
    return Counter(log.read_text().splitlines() if log.exists() else [])


def blocks_done(job: _Job, path: Path) -> set[str]:
    """The blocks of the regions that the journal of an unfinished store has."""
    done = read_numbers(path / FOLDER / DONE)
    return {
        json.dumps([field.name, *index])
        for number in done
        for field in job.fields
        for index, _ in job.partition.blocks(field, number)
    }


def run_zarr(folder: Path, path: Path, date: str, seconds: float, **config: Any) -> None:
    """Write the slow result of a folder's LR file to zarr; this is what gets killed."""
    with dask.config.set(num_workers=2, **config):
        lr = xr.open_dataset(folder / "lr.nc", chunks={"time": 5})
        write_zarr(slowly(fine(lr, date=date), folder, seconds), path)


def run_periods(folder: Path, path: Path, date: str, seconds: float) -> None:
    """Write the slow result of a folder's LR file to a netCDF file for each day."""
    with dask.config.set(num_workers=2):
        lr = xr.open_dataset(folder / "lr.nc", chunks={"time": 5})
        write_periods(slowly(fine(lr, date=date), folder, seconds), path, period="day")


def start(target: Any, *args: Any, **kwargs: Any) -> BaseProcess:
    """Call a function in a process of its own."""
    process = CONTEXT.Process(target=target, args=args, kwargs=kwargs)
    process.start()
    return process


def kill_at(process: BaseProcess, folder: Path, path: Path, blocks: int, then: float) -> None:
    """Kill a run some seconds after it has begun and computed so many blocks, unless it ends."""
    before = computed(folder).total()
    while process.is_alive():
        if (path / FOLDER).is_dir() and computed(folder).total() >= before + blocks:
            time.sleep(then)
            process.kill()
            break
        time.sleep(0.002)
    process.join()


def files(path: Path) -> dict[str, bytes]:
    """All files of a folder, but for those of the journal."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and FOLDER not in file.parts
    }


def job_of(ds: xr.Dataset, path: Path) -> _Job:
    """What a run knows of itself."""
    return _Job.of(ds, path, {}, None)
