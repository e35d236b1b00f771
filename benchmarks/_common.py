"""What the benchmarks share: a model, coarse data, timing, fresh processes, one line per result.

The numbers that count are ratios measured in one process, or medians over fresh processes that
take turns: absolute times say more about the machine and its other guests than about xdeepr.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xdeepr  # noqa: F401  # registers .deepr

FACTOR = 4
STEP = 1.0  # degrees between LR cells


def coarse(shape: tuple[int, int], times: int, *, chunk: int | None = None) -> xr.Dataset:
    """Return hourly 2 m temperature on an LR grid; lazy where a time chunk is given."""
    dims = ("time", "latitude", "longitude")
    if chunk is None:
        values: Any = np.random.default_rng(0).normal(285, 8, (times, *shape)).astype("float32")
    else:
        import dask.array as da

        generator = da.random.default_rng(0)
        values = generator.normal(285, 8, (times, *shape), chunks=(chunk, -1, -1))
        values = values.astype("float32")
    latitude = (np.arange(shape[0]) - shape[0] / 2 + 0.5) * STEP
    longitude = (np.arange(shape[1]) + 0.5) * STEP
    ds = xr.Dataset({"t2m": (dims, values, {"units": "K", "standard_name": "air_temperature"})})
    return ds.assign_coords(
        time=np.datetime64("2000-01-01", "ns") + np.arange(times) * np.timedelta64(1, "h"),
        latitude=("latitude", latitude, {"units": "degrees_north", "standard_name": "latitude"}),
        longitude=("longitude", longitude, {"units": "degrees_east", "standard_name": "longitude"}),
    )


def statics(lr: xr.Dataset) -> xr.Dataset:
    """Return orography and land-sea mask on the HR grid."""
    grid = lr.deepr.downscale("nearest", factor=FACTOR)
    rng = np.random.default_rng(1)
    fields = {
        name: (("latitude", "longitude"), rng.random((grid.latitude.size, grid.longitude.size)))
        for name in ("z", "lsm")
    }
    ds = xr.Dataset(fields, {"latitude": grid.latitude, "longitude": grid.longitude})
    ds["z"].attrs["units"] = "m**2 s**-2"
    ds["lsm"].attrs["units"] = "1"
    return ds


def untrained(tile: tuple[int, int], network_name: str = "unet2d") -> Any:
    """Return a Downscaler with random weights and the default options of its network."""
    import torch

    from xdeepr.inputs.quantities import Quantity
    from xdeepr.models.card import Card, Diffusion
    from xdeepr.models.downscaler import Downscaler
    from xdeepr.networks import build
    from xdeepr.normalization import Affine

    torch.manual_seed(0)
    config = {"in_channels": 8, "out_channels": 1}
    network = build(network_name, config)
    t2m = Quantity("t2m", "K", {"standard_name": "air_temperature"})
    card = Card(
        name="benchmark",
        predictors=(t2m,),
        predictands=(t2m,),
        covariates=(Quantity("z", "m**2 s**-2"), Quantity("lsm", "1")),
        base=(0,),
        time_features={"hour": "cyclical", "day_of_year": "cyclical"},
        factor=FACTOR,
        margin=(0, 0, 0, 0),
        grid_kind="latlon",
        resolution=(STEP, STEP),
        tile=tile,
        network={"name": network_name, "config": config},
        diffusion=Diffusion(),
        normalization={
            "predictors": Affine((285.0,), (8.0,)),
            "target": Affine((0.0,), (1.0,)),
            "covariates": Affine((0.5, 0.5), (0.3, 0.3)),
        },
    )
    known = {"values": np.empty((2, 0, 0)), "y": np.empty(0), "x": np.empty(0)}
    return Downscaler(card, network, covariate_arrays=known)


@contextmanager
def saved(model: Any) -> Iterator[str]:
    """Yield the folder of a checkpoint that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(model.save(Path(folder) / "model"))


def seconds(function: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def fresh(*arguments: str) -> Any:
    """Run Python in a fresh process; return what it printed last, read as JSON."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory() -> float:
    """Return the greatest resident memory of this process so far, in MB (Linux)."""
    (line,) = (s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s)
    return int(line.split()[1]) / 1000


def report(what: str, value: float, unit: str = "", *, target: float | None = None) -> None:
    """Print one result, beside its target where there is one."""
    verdict = ""
    if target is not None:
        verdict = f"   target <= {target:g}: {'ok' if value <= target else 'MISSED'}"
    print(f"  {what:<52}{value:>10.3f} {unit:<6}{verdict}", flush=True)


def machine() -> str:
    """Return cores and threads, for the head of a report."""
    import torch

    return f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
