"""The one door into netCDF4, and into the way in which xarray writes to it.

`tests/io/test_netcdf_private.py` holds what is relied on here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr


def write_header(ds: xr.Dataset, file: Path, encoding: Mapping[str, Any]) -> None:
    """Write a file with all but the values of dask arrays.

    xarray leaves those until its writer is told to go, which we do not do.
    """
    store = xr.backends.NetCDF4DataStore.open(str(file), mode="w", format="NETCDF4")
    try:
        ds.dump_to_store(store, encoding=encoding)
    finally:
        store.close()


def fill(file: Path, fields: Mapping[str, Iterable[tuple[tuple[slice, ...], np.ndarray]]]) -> None:
    """Write blocks that are packed already into the variables of a file, at their places."""
    import netCDF4

    with netCDF4.Dataset(file, "a") as dataset:
        for name, blocks in fields.items():
            variable = dataset.variables[name]
            variable.set_auto_maskandscale(False)
            for place, block in blocks:
                variable[place or ...] = block


def packed(variable: xr.Variable, name: str) -> np.ndarray:
    """Return values as a netCDF variable holds them, packed as its encoding says."""
    return np.asarray(xr.conventions.encode_cf_variable(variable, name=name).values)
