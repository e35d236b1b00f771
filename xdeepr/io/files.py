"""Read and write files: a file is written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import xarray as xr

from xdeepr.errors import DataUnavailableError, OptionError
from xdeepr.io.journal import is_unfinished
from xdeepr.io.with_zarr import FORMAT_2, METADATA, to_zarr

NETCDF, ZARR, GRIB = (".nc", ".nc4"), (".zarr",), (".grib", ".grib2", ".grb", ".grb2")
"""Endings of the names of files that are written (the first two) and read."""


def open_file(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a netCDF, zarr or GRIB file lazily.

    Parameters
    ----------
    path : path-like
        The file, the folder of a zarr store, or a folder of netCDF files of periods.

    Returns
    -------
    xarray.Dataset
        Dask-backed.

    Raises
    ------
    DataUnavailableError
        If there is no such file, it cannot be read, or it is a zarr store or a folder of periods
        that is not finished.

    Examples
    --------
    >>> path = write_file(xr.Dataset({"t2m": ("x", [280.0, 281.0])}), "t2m.nc")
    >>> open_file(path).t2m.values
    array([280., 281.])
    """
    path = Path(path)
    if not path.exists():
        raise DataUnavailableError(f"{path} does not exist: check the name and the folder.")
    if path.is_dir() and is_unfinished(path):
        raise DataUnavailableError(
            f"{path} is not finished: wait for the run that writes it, or run the same command"
            " again, which goes on where it stopped. To look at the part that is there, open it"
            " with xarray itself."
        )
    # cfgrib would write an index beside the data, which may be a shared, read-only folder.
    options: dict[str, Any] = (
        {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}} if path.suffix in GRIB else {}
    )
    try:
        if files := _periods(path):
            return xr.open_mfdataset(files, chunks="auto", **_JOINED)
        return xr.open_dataset(path, chunks="auto", **options)
    except (OSError, ValueError, TypeError, ArithmeticError, ImportError) as error:
        raise DataUnavailableError(
            f"{path} cannot be read as netCDF, zarr or GRIB ({error}): is it whole, and is the"
            " library for its format installed (pip install 'xdeepr[grib,zarr]')?"
        ) from error


_JOINED: dict[str, Any] = {
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "join": "exact",
    "combine_attrs": "override",
}
"""How files of periods become one dataset: along time, the rest from the first of them."""


def _periods(path: Path) -> list[Path]:
    """Return the netCDF files of a folder that is no zarr store."""
    store = path.suffix in ZARR or any((path / name).exists() for name in (METADATA, FORMAT_2))
    return [] if store or not path.is_dir() else sorted(path.glob("*.nc"))


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Refuse a name that could not be written to, before the work and not after it.

    Raises
    ------
    OptionError
        If the ending is unknown, or the file is there and may not be replaced.
    """
    path = Path(path)
    if path.suffix not in NETCDF + ZARR:
        raise OptionError(
            f"{path} has the ending {path.suffix!r}, which does not tell the format: use .nc for"
            " netCDF or .zarr; for a folder of netCDF files, write_periods or --period."
        )
    if path.exists() and not overwrite:
        raise OptionError(
            f"{path} exists already: choose another name, or overwrite it (--overwrite)."
        )
    return path


def write_file(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: str | None = None,
) -> Path:
    """Compute a dataset and write it to netCDF or zarr, by the ending of the name.

    Parameters
    ----------
    ds : xarray.Dataset
        What to write; computed block by block.
    path : path-like
        A name that ends in ``.nc`` or ``.zarr``. Its folder is made where it is missing.
    overwrite : bool, default: False
        Replace a file that is there.
    progress : str, optional
        Show a progress bar with this text.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        If the ending is unknown, or the file is there and may not be replaced.

    Examples
    --------
    >>> lr, hr, _ = xdeepr.synthetic.example_pair(days=1)
    >>> out = lr.deepr.downscale("bicubic", like=hr)
    >>> write_file(out, "t2m_hr.zarr").name
    't2m_hr.zarr'
    """
    path = check_output(path, overwrite=overwrite)
    with whole(path) as scratch, progress_bar(progress):
        if path.suffix in ZARR:
            to_zarr(_evenly_chunked(ds), scratch)
        else:
            ds.to_netcdf(scratch)
    return path


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside a path; rename it to the path when the work went well.

    What is there is replaced; after an error the temporary one is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        scratch = folder / path.name
        yield scratch
        if path.is_dir():  # a folder that is not empty cannot be replaced by a rename
            path.rename(folder / "old")
        os.replace(scratch, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def progress_bar(text: str | None) -> AbstractContextManager[Any]:
    """Return a context in which dask's computations have a progress bar, if there is a text."""
    if text is None:
        return nullcontext()
    from tqdm.dask import TqdmCallback

    return TqdmCallback(desc=text, unit="task", mininterval=0.5)


@contextmanager
def region_bar(text: str | None, total: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar over the regions of a result, or nothing for no text.

    Yields a function that takes the number of regions done.
    """
    if text is None:
        yield lambda done: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=text, unit="region") as bar:
        yield lambda done: bar.update(done - bar.n)


def _evenly_chunked(ds: xr.Dataset) -> xr.Dataset:
    """Make all chunks but the last of a dimension equal, as zarr needs it."""
    uneven = {
        dim: max(sizes)
        for dim, sizes in ds.unify_chunks().chunksizes.items()
        if len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]
    }
    return ds.chunk(uneven) if uneven else ds
