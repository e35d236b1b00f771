"""The verb over random grids, calendars, chunks, types of numbers and orders of dimensions.

The same field in another dress must give the same result, in that dress.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xdeepr
from xdeepr.grids import grid_of
from xdeepr.testing import assert_same_field

CALENDARS = ("standard", "noleap", "360_day", "julian", "proleptic_gregorian")

AXES: dict[str, tuple[tuple[str, str, str], tuple[str, str, str]]] = {
    "latlon": (("lat", "latitude", "degrees_north"), ("lon", "longitude", "degrees_east")),
    "rotated": (("rlat", "grid_latitude", "degrees"), ("rlon", "grid_longitude", "degrees")),
    "projected": (
        ("y", "projection_y_coordinate", "km"),
        ("x", "projection_x_coordinate", "km"),
    ),
}


@dataclass(frozen=True)
class Dress:
    """How a field is written down; none of it is the field's own.

    Parameters
    ----------
    order : tuple of int
        Order of time, y and x.
    flips : (bool, bool)
        Whether y and x descend.
    turned : bool
        Longitudes in the other convention.
    chunks : tuple of int, optional
        Sizes of dask chunks along time, y and x.
    dtype : str
        Type of the numbers.
    """

    order: tuple[int, ...] = (0, 1, 2)
    flips: tuple[bool, bool] = (False, False)
    turned: bool = False
    chunks: tuple[int, int, int] | None = None
    dtype: str = "float32"

    def put_on(self, field: xr.DataArray) -> xr.DataArray:
        """Return the field written down so."""
        dims = [str(d) for d in field.dims]
        _, y, x = dims
        out = field.astype(self.dtype)
        if self.turned and x == "lon":
            attrs = out.lon.attrs
            out = out.assign_coords(lon=((out.lon + 180) % 360 - 180).assign_attrs(attrs))
        flips = {
            d: slice(None, None, -1) for d, flip in zip((y, x), self.flips, strict=True) if flip
        }
        out = out.isel(flips).transpose(*(dims[k] for k in self.order))
        return out if self.chunks is None else out.chunk(dict(zip(dims, self.chunks, strict=True)))


dresses = st.builds(
    Dress,
    order=st.permutations((0, 1, 2)).map(tuple),
    flips=st.tuples(st.booleans(), st.booleans()),
    turned=st.booleans(),
    chunks=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)


def made_up(
    kind: str, shape: tuple[int, int], *, step: float, first: float, calendar: str
) -> xr.DataArray:
    """Return three fields in single precision whose numbers fit into float16 and a byte."""
    values = np.random.default_rng(shape).integers(0, 250, (3, *shape)).astype("f4") / 4
    time = xr.date_range("2001-01-30", periods=3, freq="D", calendar=calendar, use_cftime=True)
    coords: dict[str, Any] = {"time": ("time", time, {"standard_name": "time"})}
    for (name, standard_name, units), n, start in zip(
        AXES[kind], shape, (-20.0, first), strict=True
    ):
        axis = start + step * np.arange(n)
        coords[name] = (name, axis, {"standard_name": standard_name, "units": units})
    return xr.DataArray(
        values,
        coords,
        ("time", *(axis[0] for axis in AXES[kind])),
        name="tas",
        attrs={"units": "degC", "standard_name": "air_temperature"},
    )


fields = st.builds(
    made_up,
    st.sampled_from(sorted(AXES)),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    step=st.sampled_from([0.1, 0.25, 1.0, 2.5]),
    first=st.sampled_from([-3.0, 10.125, 170.0, 176.3]),
    calendar=st.sampled_from(CALENDARS),
)
methods = st.sampled_from(["nearest", "bilinear", "bicubic"])


def undressed(out: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Return a result with the order and the coordinates of another, cell by cell."""
    y, x = (str(d) for d in like.dims[-2:])
    out = out.transpose(*like.dims)
    for dim in (y, x):
        if grid_of(out).y.descending if dim == y else grid_of(out).x.descending:
            out = out.isel({dim: slice(None, None, -1)})
    off = np.abs((out[x].values - like[x].values + 180) % 360 - 180) if x == "lon" else 0
    assert np.max(off) < 1e-6
    np.testing.assert_allclose(out[y], like[y], atol=1e-6)
    return out.assign_coords({x: like[x]})


@settings(deadline=None, max_examples=60)
@given(field=fields, dress=dresses, method=methods, factor=st.integers(2, 4))
def test_the_same_field_in_another_dress(
    field: xr.DataArray, dress: Dress, method: str, factor: int
) -> None:
    plain = xdeepr.downscale(field, method, factor=factor)
    worn = dress.put_on(field)
    out = xdeepr.downscale(worn, method, factor=factor)
    assert out.dtype == np.float32
    assert out.dims == plain.dims  # whatever the order of the input
    for dim, flip in zip(field.dims[1:], dress.flips, strict=True):
        steps = np.diff(np.unwrap(out[dim].values, period=360))
        assert (steps < 0).all() if flip else (steps > 0).all()
    assert (out.time.values == field.time.values).all()
    assert out.time.dt.calendar == field.time.dt.calendar
    np.testing.assert_allclose(undressed(out, plain), plain, rtol=1e-6, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(field=fields, dress=dresses, factor=st.integers(2, 4))
def test_coarsening_undoes_nearest(field: xr.DataArray, dress: Dress, factor: int) -> None:
    """There and back, in the same dress: all parts of a cell have its value."""
    worn = dress.put_on(field)
    back = xdeepr.coarsen(xdeepr.downscale(worn, "nearest", factor=factor), factor)
    expected = worn.transpose(*back.dims)
    np.testing.assert_allclose(back, expected.astype("f4"), rtol=1e-6)
    for dim in field.dims[1:]:
        np.testing.assert_allclose(back[dim], expected[dim], atol=1e-6)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    field=fields,
    dress=dresses.filter(lambda d: d.chunks is None),
    packing=st.sampled_from(["int8", "uint8", "int16", "int32", "float32"]),
    unsigned=st.booleans(),
    hole=st.booleans(),
)
def test_packed_numbers_in_a_file(
    field: xr.DataArray, dress: Dress, packing: str, unsigned: bool, hole: bool, tmp_path
) -> None:
    """Opened as a user would; a value that is missing stays so, and only what it touches."""
    worn = dress.put_on(field)
    if hole:
        worn = worn.where(worn != worn.isel(dict.fromkeys(worn.dims, 0)))
    integer = np.issubdtype(packing, np.integer)
    fill = -128 if packing == "int8" else -1  # a number that stands for no value of the field
    encoding: dict[str, Any] = {"dtype": packing, "_FillValue": np.array(fill).astype(packing)}
    if integer:
        offset = 32.0 if packing == "int8" else 0.0
        encoding |= {"scale_factor": 0.25 if packing != "int8" else 0.5, "add_offset": offset}
    if unsigned and packing == "int16":
        encoding["_Unsigned"] = "true"
    file = tmp_path / "packed.nc"
    worn.to_netcdf(file, encoding={"tas": encoding})
    with xr.open_dataset(file) as read:
        loaded = read.tas.load()
    out = xdeepr.downscale(loaded, "bilinear", factor=2, missing="mask")
    expected = xdeepr.downscale(worn, "bilinear", factor=2, missing="mask")
    assert out.dtype == np.float32
    assert out.attrs["units"] == "degC"
    tolerance = 0.26 if packing == "int8" else 1e-5
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=tolerance)
    holes = int(np.isnan(out.values).sum())
    assert holes == 4 * int(np.isnan(worn.values).sum())
    file.unlink()


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(dress=dresses.filter(lambda d: d.dtype != "float16"), batch_size=st.integers(1, 7))
def test_a_trained_model_on_a_field_in_another_dress(
    italy_lr: xr.Dataset, checkpoint: Any, dress: Dress, batch_size: int
) -> None:
    """float64 is rounded to the same float32."""
    field = italy_lr.t2m.isel(time=slice(0, 3)).rename(latitude="lat", longitude="lon")
    field = field.isel(lat=slice(None, None, -1))
    options = {"members": 2, "steps": 2, "seed": 3}
    plain = field.deepr.downscale(checkpoint, **options).compute()
    out = dress.put_on(field).deepr.downscale(checkpoint, batch_size=batch_size, **options)
    assert_same_field(undressed(out, plain), plain)


@pytest.mark.parametrize("dtype", ["int16", "int32", "bool"])
def test_whole_numbers_are_numbers(dtype: str) -> None:
    """Counts and masks; what comes out are single-precision numbers."""
    field = made_up("latlon", (4, 5), step=1.0, first=3.0, calendar="standard").astype(dtype)
    out = xdeepr.downscale(field, "bilinear", factor=2)
    expected = xdeepr.downscale(field.astype("f4"), "bilinear", factor=2)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, expected)
