"""Covariates on the HR grid: static ones, those that vary in time, and the sun."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xdeepr.errors import AxisError, GridError, MissingValuesError, UnitsError
from xdeepr.grids import grid_of, gridded
from xdeepr.inputs.covariates import (
    covariates_on,
    describe_covariates,
    solar_channels,
    solar_on,
    varying_on,
)
from xdeepr.inputs.quantities import Quantity


def test_covariates_on_the_same_cells_are_taken_as_they_are(statics):
    part = statics.isel(latitude=slice(4, 24), longitude=slice(10, 40))
    grid = grid_of(part)
    z = Quantity("z", "m2 s-2")
    out = covariates_on(grid, gridded(statics), [z])
    np.testing.assert_array_equal(out[0], part.z[0, ::-1].astype("float32"))


def test_covariates_are_interpolated_linearly(italy_hr, statics):
    """A field that is linear in latitude and longitude is met exactly on the offset grid."""
    linear = (statics.z[0] * 0 + 3 * statics.latitude - 2 * statics.longitude).assign_attrs(
        units="km"
    )
    grid = grid_of(italy_hr)
    out = covariates_on(grid, gridded(linear.to_dataset(name="z")), [Quantity("z", "m")])
    wanted = 3 * grid.y.centres[:, None] - 2 * grid.x.centres
    np.testing.assert_allclose(out[0], 1000 * wanted, rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("first", [-180.0, 0.0])
def test_covariates_wrap_around_the_globe(first):
    """Also on the seam of the covariate's own convention."""
    longitude = first + 2.0 * np.arange(180) + 1
    wave = np.cos(np.deg2rad(longitude)) * np.ones((10, 1))
    globe = xr.Dataset(
        {"z": (("lat", "lon"), wave, {"units": "m"})},
        {
            "lat": ("lat", np.arange(10.0), {"units": "degrees_north"}),
            "lon": ("lon", longitude, {"units": "degrees_east"}),
        },
    )
    for start in (-4.25, 176.25, 355.75):
        lon = start + 0.5 * np.arange(20)
        fine = xr.Dataset(
            coords={
                "lat": ("lat", 2 + 0.5 * np.arange(8), {"units": "degrees_north"}),
                "lon": ("lon", lon, {"units": "degrees_east"}),
            }
        )
        out = covariates_on(grid_of(fine), gridded(globe), [Quantity("z", "m")])
        np.testing.assert_allclose(out[0, 0], np.cos(np.deg2rad(lon)), atol=1e-3)


def test_bad_covariates(italy_hr, mogreps_hr, statics):
    z = Quantity("z", "m2 s-2")
    with pytest.raises(GridError, match=r"projected grid needs.*a covariate that covers it"):
        covariates_on(grid_of(mogreps_hr), gridded(statics), [z])
    with pytest.raises(GridError, match=r"'z' covers longitude.*give a covariate"):
        covariates_on(grid_of(italy_hr), gridded(statics.isel(longitude=slice(0, 50))), [z])
    with pytest.raises(MissingValuesError, match=r"'z'.*fillna"):
        covariates_on(grid_of(italy_hr), gridded(statics.where(statics.z > 0)), [z])
    with pytest.raises(UnitsError, match="'z'"):
        covariates_on(grid_of(italy_hr), gridded(statics), [Quantity("z", "K")])
    twice = xr.concat([statics, statics], "time")
    with pytest.raises(AxisError, match=r"'z' varies along 'time'.*isel\(time=0\)"):
        covariates_on(grid_of(italy_hr), gridded(twice), [z])


def test_masks_of_true_and_false_are_fields(statics):
    land = (statics.lsm > 0.5).isel(time=0, drop=True).rename("land").to_dataset()
    static, varying = describe_covariates(gridded(land))
    assert [q.name for q in static] == ["land"]
    assert not varying
    grid = grid_of(statics.isel(latitude=slice(4, 24), longitude=slice(10, 40)))
    found = covariates_on(grid, gridded(land), static)[0]
    np.testing.assert_array_equal(found, land.land[4:24, 10:40][::-1].astype("f4"))


def test_masks_without_units_count_as_one(statics):
    bare = statics.assign(lsm=statics.lsm.drop_attrs())
    static, varying = describe_covariates(gridded(bare))
    assert [(q.name, q.units) for q in static] == [("z", "m**2 s**-2"), ("lsm", "1")]
    assert varying == ()
    with pytest.raises(UnitsError, match="bananas"):
        describe_covariates(gridded(bare.assign(lsm=bare.lsm.assign_attrs(units="bananas"))))


# --- varying in time -----------------------------------------------------------------------------


@pytest.fixture
def ramp(italy_hr) -> xr.Dataset:
    """A field that is linear in place and time, on a grid of its own, chunked in time."""
    time = italy_hr.time[:6]
    lat = xr.DataArray(np.arange(48.0, 34, -0.5), dims="lat", attrs={"units": "degrees_north"})
    lon = xr.DataArray(np.arange(4.0, 21, 0.5), dims="lon", attrs={"units": "degrees_east"})
    hours = (time - time[0]) / np.timedelta64(1, "h")
    ds = xr.Dataset({"sst": hours + 2 * lat - lon}).assign_coords(lat=lat, lon=lon)
    ds["sst"].attrs["units"] = "degC"
    return ds.chunk(time=2)


def test_varying_covariates_are_told_from_static_ones(ramp, statics):
    both = ramp.assign(still=ramp.sst.isel(time=0, drop=True))
    static, varying = describe_covariates(gridded(both))
    assert [q.name for q in static] == ["still"]
    assert [q.name for q in varying] == ["sst"]


def test_varying_covariates_are_interpolated_lazily(ramp, italy_hr, count_computes):
    grid = grid_of(italy_hr)
    times = italy_hr.time[[4, 1]]
    out = varying_on(grid, gridded(ramp), [Quantity("sst", "K")], times)
    assert isinstance(out, da.Array)
    assert out.dtype == np.float32
    assert count_computes == [0]
    place = 2 * grid.y.centres[:, None] - grid.x.centres + 273.15
    np.testing.assert_allclose(out[0, 0].compute(), 12 + place, rtol=1e-5)
    np.testing.assert_allclose(out[1, 0].compute(), 3 + place, rtol=1e-5)


def test_varying_covariates_need_the_times(ramp, italy_hr):
    sst = [Quantity("sst", "degC")]
    with pytest.raises(AxisError, match=r"'sst' has no value at 2022-05-01T18.*it has 2022-05-01"):
        varying_on(grid_of(italy_hr), gridded(ramp), sst, italy_hr.time[5:8])
    with pytest.raises(AxisError, match="the data has no time"):
        varying_on(grid_of(italy_hr), gridded(ramp), sst, None)


def test_the_sun_on_the_grid(italy_hr):
    features = {"hour": "cyclical", "local_solar_time": "field", "cos_solar_zenith": "field"}
    assert solar_channels(features) == 3
    out = solar_on(grid_of(italy_hr), features, italy_hr.time[:8])
    assert out.shape == (8, 3, 40, 48)
    values = out.compute()
    np.testing.assert_allclose(values[:, 0] ** 2 + values[:, 1] ** 2, 1, atol=1e-5)
    assert values[4, 2].min() > 0.7  # noon in May
    assert values[0, 2].max() < 0  # midnight
    assert values[2, 2, 0, -1] > values[2, 2, 0, 0]  # 6 UTC: the sun is higher in the east
    assert solar_on(grid_of(italy_hr), {"hour": "cyclical"}, italy_hr.time) is None
