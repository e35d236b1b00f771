"""Coarse fields on cells in which the labels nest."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from tests.grids.test_curvilinear import field, turned
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import grid_of, relate
from xdeepr.grids.sphere import EARTH_RADIUS


def plane(latitude: np.ndarray, longitude: np.ndarray) -> xr.Dataset:
    """A field that is linear in latitude and longitude, at two times."""
    time = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    lat = xr.DataArray(latitude, dims="lat", attrs={"units": "degrees_north"})
    lon = xr.DataArray(longitude, dims="lon", attrs={"units": "degrees_east"})
    day = xr.DataArray([0.0, 1.0], dims="time")
    ds = xr.Dataset({"t2m": 280 + 2 * lat - lon + day})
    ds["t2m"].attrs["units"] = "K"
    return ds.assign_coords(time=time, lat=lat, lon=lon)


def test_cells_that_do_not_nest_are_brought_to_cells_that_do(italy_hr, count_computes):
    """A grid of 1.1°, descending, of another origin; linear fields are met exactly."""
    lr = plane(np.arange(49.3, 33, -1.1), np.arange(4.2, 22, 1.1)).chunk(time=1)
    with pytest.raises(GridError, match=r"does not nest.*deepr\.nest"):
        relate(grid_of(lr), grid_of(italy_hr))
    out = lr.deepr.nest(italy_hr)
    assert count_computes == [0]
    grid = grid_of(out)
    factor, margin = relate(grid, grid_of(italy_hr))
    assert factor == 4
    assert min(margin) >= 0
    assert max(margin) >= 4  # there is context
    assert out.t2m.dims == ("time", "latitude", "longitude")
    expected = 280 + 2 * out.latitude - out.longitude
    np.testing.assert_allclose(out.t2m[0], expected, atol=1e-4)
    np.testing.assert_allclose(out.t2m[1], expected + 1, atol=1e-4)
    assert out.latitude.attrs["bounds"] in out
    assert "nest" in out.attrs["history"]
    assert (out.latitude.diff("latitude") < 0).all()  # the order of the labels


def test_training_and_use_after_nesting(italy_hr, statics):
    lr = italy_hr.deepr.coarsen(4).isel(time=slice(0, 4))
    moved = lr.interp(
        latitude=lr.latitude[1:-1] + 0.37, longitude=lr.longitude[1:-1] - 0.21
    ).assign_attrs(lr.attrs)
    for name in ("latitude", "longitude"):
        moved[name].attrs = {k: v for k, v in lr[name].attrs.items() if k != "bounds"}
    moved = moved[["t2m"]]
    inner = italy_hr.isel(time=slice(0, 4), latitude=slice(8, 28), longitude=slice(8, 36))
    nested = moved.deepr.nest(inner)
    model = nested.deepr.fit(
        inner, covariates=statics, max_steps=2, batch_size=2, validation=None, network=TINY,
        progress=False,
    )  # fmt: skip
    out = nested.deepr.downscale(model, steps=2)
    xr.testing.assert_equal(out.latitude.drop_attrs(), inner.latitude.drop_attrs())
    assert np.isfinite(out.t2m.compute()).all()
    field = moved.t2m.deepr.nest(inner)
    assert isinstance(field, xr.DataArray)
    np.testing.assert_allclose(field, nested.t2m)


def test_latitudes_and_longitudes_to_a_projection(mogreps_hr):
    """Labels on a Lambert azimuthal grid at 2 km; the coarse field on 0.1°, 0..360."""
    lr = plane(np.arange(48.0, 63, 0.1), (np.arange(-20.0, 12, 0.1)) % 360)
    lr["t2m"] = (280 + 2 * lr.lat - ((lr.lon + 180) % 360 - 180)).expand_dims(time=lr.time)
    lr["t2m"].attrs["units"] = "K"
    out = lr.deepr.nest(mogreps_hr)
    factor, margin = relate(grid_of(out), grid_of(mogreps_hr))
    assert factor == 6
    assert margin[0] == margin[2] == 0
    assert out.t2m.attrs["grid_mapping"] in out.variables
    np.testing.assert_allclose(out.t2m[0], 280 + 2 * out.latitude - out.longitude, atol=2e-3)
    assert relate(grid_of(lr.deepr.nest(mogreps_hr, factor=4)), grid_of(mogreps_hr))[0] == 4


def test_latitudes_and_longitudes_to_a_curvilinear_grid():
    """ERA5's kind of grid, and labels of a model that gives 2-D latitude and longitude only."""
    labels = xr.concat([wrf_like(), wrf_like() + 1], "time").assign_coords(
        time=np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    )
    labels["T2"].attrs["units"] = "K"
    lr = plane(np.arange(30.0, 60, 0.25), np.arange(-10.0, 40, 0.25)).rename(t2m="T2")
    out = lr.deepr.nest(labels, factor=4)
    grid = grid_of(out)
    assert grid.kind == "curvilinear"
    assert relate(grid, grid_of(labels)) == (4, (0, 0, 0, 0))
    np.testing.assert_allclose(out.T2[1], 281 + 2 * out.XLAT - out.XLONG, atol=1e-3)
    model = out.deepr.fit(
        labels, max_steps=2, batch_size=2, validation=None, network=TINY, progress=False
    )
    fine = out.deepr.downscale(model, steps=2)
    np.testing.assert_array_equal(fine.XLAT, labels.XLAT)
    assert np.isfinite(fine.T2.compute()).all()
    odd = labels.isel(south_north=slice(0, 23))
    with pytest.raises(GridError, match=r"'south_north' has 23 cells.*select 20 cells first"):
        lr.deepr.nest(odd, factor=4)
    with pytest.raises(GridError, match="coarse grid is curvilinear"):
        labels.deepr.nest(lr, factor=4)


def wrf_like() -> xr.Dataset:
    """A turned grid of 5 km about 45° north."""
    lat, lon = turned(24, 32, 5 / EARTH_RADIUS, 45, 10, 0.4)
    return field(lat, lon)


def test_a_global_field_serves_across_its_seam(italy_hr):
    lr = plane(np.arange(-88.0, 89, 1.0), np.arange(0.5, 360, 1.0))
    west = italy_hr.assign_coords(longitude=italy_hr.longitude - 12)  # -5.4 to 6.3
    out = lr.assign(t2m=(280 + 2 * lr.lat).broadcast_like(lr.t2m).assign_attrs(units="K"))
    nested = out.deepr.nest(west.isel(longitude=slice(0, 40)))
    np.testing.assert_allclose(
        nested.t2m.isel(time=0),
        (280 + 2 * nested.latitude).broadcast_like(nested.t2m.isel(time=0)),
        atol=1e-4,
    )


def test_what_cannot_be_nested(italy_hr, mogreps_hr):
    small = plane(np.arange(38.0, 45, 1.0), np.arange(8.0, 16, 1.0))
    with pytest.raises(GridError, match=r"field 't2m' covers .*covers the HR domain"):
        small.deepr.nest(italy_hr)
    with pytest.raises(GridError, match="field that covers it"):
        small.deepr.nest(mogreps_hr, factor=8)
    with pytest.raises(GridError, match=r"holds 0\.5 cells"):
        plane(np.arange(30.0, 50, 0.125), np.arange(2.0, 22, 0.125)).deepr.nest(italy_hr)
    with pytest.raises(GridError, match=r"projected.*xesmf"):
        mogreps_hr.deepr.nest(italy_hr)
    with pytest.raises(OptionError, match="factor=9"):
        xdeepr.nest(italy_hr.deepr.coarsen(4), italy_hr, factor=9)
