"""What we rely on inside netCDF4, and in xarray's way of writing to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xdeepr.io import with_netcdf

PACKINGS: list[dict[str, Any]] = [
    {},
    {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.0, "_FillValue": -1},
    {"dtype": "float64"},
]


@pytest.fixture
def ds(rng: np.random.Generator) -> xr.Dataset:
    values = rng.normal(280, 5, (4, 6)).astype("f4")
    values[1, 2] = np.nan
    return xr.Dataset(
        {"t": (("y", "x"), values, {"units": "K"}), "h": ("x", np.arange(6.0))},
        {"y": np.arange(4)}, {"title": "a"},
    )  # fmt: skip


def emptied(ds: xr.Dataset) -> xr.Dataset:
    zeros = da.zeros((4, 6), dtype="f4", chunks=-1)
    return ds.assign(t=ds.t.variable.copy(data=zeros))


def test_the_header_is_all_but_the_values_of_dask_arrays(ds: xr.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "a.nc"
    with_netcdf.write_header(emptied(ds), file, {})
    with xr.open_dataset(file) as there:
        xr.testing.assert_identical(there[["h"]], ds[["h"]])
        assert there.t.attrs == ds.t.attrs
        assert there.attrs == ds.attrs
        assert bool(there.t.isnull().all())


@pytest.mark.parametrize("encoding", PACKINGS, ids=str)
def test_blocks_that_are_packed_are_what_xarray_writes(
    ds: xr.Dataset, tmp_path: Path, encoding: dict[str, Any]
) -> None:
    ours, theirs = tmp_path / "ours.nc", tmp_path / "theirs.nc"
    with_netcdf.write_header(emptied(ds), ours, {"t": encoding} if encoding else {})
    blocks = []
    for place in ((slice(0, 2), slice(0, 6)), (slice(2, 4), slice(0, 6))):
        block = ds.t.variable[place].copy()
        block.encoding = encoding
        blocks.append((place, with_netcdf.packed(block, "t")))
    with_netcdf.fill(ours, {"t": blocks})
    ds.to_netcdf(theirs, engine="netcdf4", encoding={"t": encoding} if encoding else {})
    for options in ({}, {"mask_and_scale": False}):
        with xr.open_dataset(ours, **options) as one, xr.open_dataset(theirs, **options) as other:
            xr.testing.assert_identical(one, other)


def test_truth_values_become_bytes() -> None:
    packed = with_netcdf.packed(xr.Variable("x", [True, False]), "x")
    assert packed.dtype == np.int8
    assert packed.tolist() == [1, 0]


def test_a_single_number_has_a_place_too(tmp_path: Path) -> None:
    file = tmp_path / "a.nc"
    lazy = xr.Dataset({"t": ((), da.zeros((), dtype="f4"))})
    with_netcdf.write_header(lazy, file, {})
    with_netcdf.fill(file, {"t": [((), np.float32(7))]})
    with xr.open_dataset(file) as there:
        assert float(there.t) == 7
