"""Time of ``write_zarr`` (in regions, forced to disk) over that of xarray's own ``to_zarr``.

Both write the same result to fresh stores, take turns in one process, and the median of the
ratios counts. Interpolation is the hard case: there is hardly anything to compute, and what is
measured is the disk. ``to_zarr`` returns when the system has the data, ``write_zarr`` when the disk
has them, so it is compared with ``to_zarr`` and a wait for the disk too.

    python benchmarks/writing.py [rounds]
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from _common import FACTOR, coarse, machine, report, saved, seconds, statics, untrained

from xdeepr.io import write_file, write_periods, write_zarr
from xdeepr.io.targets import force_to_disk

TARGET = 1.05


def to_zarr(out: xr.Dataset, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        out.to_zarr(path)


def to_zarr_on_disk(out: xr.Dataset, path: Path) -> None:
    to_zarr(out, path)
    force_to_disk((file for file in path.rglob("*") if file.is_file()), path)


def take_turns(
    out: xr.Dataset, ways: dict[str, Callable[[xr.Dataset, Path], object]], rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each way to write a result, after one round to warm up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for number in range(rounds + 1):
            for name, write in ways.items():
                path = Path(folder, name)
                spent = seconds(lambda w=write, p=path: w(out, p))
                took[name] += [spent] if number else []
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return took


def compare(what: str, out: xr.Dataset, rounds: int, *, target: float | None = TARGET) -> None:
    """Write a result in all ways and print the ratios."""
    size = sum(v.nbytes for v in out.data_vars.values()) / 1e6
    print(f"{what}: {size:.0f} MB in {out.t2m.data.npartitions} blocks")
    ways = {"ours.zarr": write_zarr, "theirs.zarr": to_zarr, "on-disk.zarr": to_zarr_on_disk}
    ours, theirs, on_disk = take_turns(out, ways, rounds).values()
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    report("write_zarr / to_zarr", statistics.median(ratios), target=target)
    report("least and greatest of the ratios", min(ratios))
    report("", max(ratios))
    fair = [a / b for a, b in zip(ours, on_disk, strict=True)]
    report("write_zarr / to_zarr and a wait for the disk", statistics.median(fair))
    report("to_zarr", statistics.median(theirs), "s")


def periods(out: xr.Dataset, rounds: int) -> None:
    """Compare files of days, whose blocks are spooled, with one netCDF file."""
    ways = {"days": lambda o, p: write_periods(o, p, period="day"), "one.nc": write_file}
    days, one = take_turns(out, ways, rounds).values()
    ratios = [a / b for a, b in zip(days, one, strict=True)]
    report("write_periods / write_file to one netCDF", statistics.median(ratios))


def many(regions: int = 10_000) -> None:
    """Print what a region costs, for regions of next to nothing."""
    ds = xr.Dataset({"t2m": ("time", np.arange(regions, dtype="f4"))}).chunk(time=1)
    ways = {"ours.zarr": write_zarr, "theirs.zarr": to_zarr}
    ours, theirs = take_turns(ds, ways, 1).values()
    print(f"{regions} regions of one number")
    report("write_zarr, a region", 1000 * ours[0] / regions, "ms")
    report("to_zarr, a region", 1000 * theirs[0] / regions, "ms")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder, "out.zarr")
        write_zarr(ds, path)
        report("to see that a store is finished", seconds(lambda: write_zarr(ds, path)), "s")


def main(rounds: int = 5) -> None:
    """Compare a network, interpolation in large and small blocks, and netCDF."""
    print(machine())
    with saved(untrained(tile=(40, 48))) as folder:
        lr = coarse((10, 12), 40, chunk=24)
        out = lr.deepr.downscale(folder, members=4, steps=4, covariates=statics(lr))
        compare("network", out, rounds)
    lr = coarse((100, 80), 960, chunk=24)
    large = lr.deepr.downscale("bicubic", factor=FACTOR)
    compare("interpolation", large, rounds)
    periods(large, rounds)
    small = lr.deepr.downscale("bicubic", factor=FACTOR, batch_size=2)
    compare("interpolation, small blocks", small, rounds, target=None)
    many()


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
