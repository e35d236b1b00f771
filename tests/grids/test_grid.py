"""Grids: nesting, orientation, conventions, coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xdeepr import cf
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import Grid, as_user_order, ascending, grid_of, relate

ITALY = "era5/era5_t2m_italy_3h_20220501_20220630.nc"
UKV = "mogreps-uk/UKV_analysis_20170602T1500Z-temperature.nc"


def latlon(lat: np.ndarray, lon: np.ndarray) -> xr.DataArray:
    data = np.arange(lat.size * lon.size, dtype=float).reshape(lat.size, lon.size)
    return xr.DataArray(data, {"lat": lat, "lon": lon}, ("lat", "lon"), "t", {"units": "K"})


@st.composite
def grids(draw) -> Grid:
    step = draw(st.sampled_from([0.05, 0.1, 0.25, 1 / 12, 1.0]))
    ny, nx = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    lat = draw(st.integers(-40, 0)) + step * np.arange(ny)
    lon = draw(st.integers(-170, 100)) + step * np.arange(nx)
    if draw(st.booleans()):
        lat = lat[::-1]
    if draw(st.booleans()):
        lon = lon % 360
    kind = draw(st.sampled_from([np.float32, np.float64]))
    return grid_of(latlon(lat.astype(kind), lon.astype(kind)))


@given(grid=grids(), factor=st.integers(2, 8), data=st.data())
@settings(max_examples=60, deadline=None)
def test_relate_finds_factor_and_margin(grid, factor, data):
    fine = grid.refine(factor)
    margin = tuple(
        data.draw(st.integers(0, (n - 2) // 2)) for n in np.repeat(fine.shape, 2).tolist()
    )
    assert relate(grid, fine.crop(margin)) == (factor, margin)


@given(grid=grids(), factor=st.integers(2, 8))
@settings(max_examples=40, deadline=None)
def test_refine_then_merge_is_identity(grid, factor):
    again = grid.refine(factor).merge(factor)
    for ours, theirs in ((grid.y, again.y), (grid.x, again.x)):
        np.testing.assert_allclose(ours.centres, theirs.centres, atol=1e-9)
    np.testing.assert_allclose(grid.refine(factor).y.edges[::factor], grid.y.edges, atol=1e-9)


@given(grid=grids(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_cell_has_the_same_index_in_every_domain(grid, data):
    low = [data.draw(st.integers(0, n - 2)) for n in grid.shape]
    part = grid.crop((low[0], 0, low[1], 0))
    around = round(360 / grid.x.step)
    y, x = grid.origin()
    assert part.origin() == (y + low[0], (x + low[1]) % around)


def test_orientation_round_trip(data_dir):
    with xr.open_dataset(data_dir / ITALY) as ds:
        axes, grid = cf.find_axes(ds), grid_of(ds)
        assert grid.y.descending
        assert not grid.x.descending
        da = ds.t2m.isel(time=slice(0, 2)).transpose("longitude", "time", "latitude")
        up = ascending(da, axes)
        assert up.dims == ("time", "latitude", "longitude")
        assert (np.diff(up.latitude) > 0).all()
        back = as_user_order(up, grid)
        xr.testing.assert_identical(back, ds.t2m.isel(time=slice(0, 2)))


def test_coordinates_come_back_to_the_bit(data_dir):
    """xarray aligns by equality: 46.9 must stay the 46.9 of the file."""
    with xr.open_dataset(data_dir / ITALY) as ds:
        ds = ds.isel(latitude=slice(0, 40))
        coords = grid_of(ds).coordinates()
        for name in ("latitude", "longitude"):
            assert coords[name].dtype == ds[name].dtype
            np.testing.assert_array_equal(coords[name], ds[name])
        fine = grid_of(ds)
        lr = fine.merge(4)
        snapped = lr.refine(4).y.snap(fine.y.known())
        np.testing.assert_array_equal(snapped.coordinate(), ds.latitude)


@given(step=st.sampled_from([0.25, 0.1, 0.5]), factor=st.sampled_from([2, 4, 5]))
@settings(max_examples=20, deadline=None)
def test_decimal_coordinates_stay_decimal(step, factor):
    lat = np.round(30 + step * np.arange(20), 6)
    fine = grid_of(latlon(lat, lat)).refine(factor).coordinates()["lat"].values
    np.testing.assert_array_equal(fine, np.round(fine, 9))


@pytest.mark.parametrize(
    ("lon", "expected"),
    [
        (np.array([358.0, 359, 0, 1]), [358.0, 359, 0, 1]),
        (np.array([178.0, 179, -180, -179]), [178.0, 179, -180, -179]),
        (np.array([358.0, 359, 360, 361]), [358.0, 359, 360, 361]),
        (np.array([-2.0, -1, 0, 1]), [-2.0, -1, 0, 1]),
    ],
)
def test_longitude_conventions(lon, expected):
    grid = grid_of(latlon(np.arange(3.0), lon))
    assert np.diff(grid.x.centres).min() > 0
    np.testing.assert_allclose(grid.coordinates()["lon"], expected)
    fine = grid.refine(2).coordinates()
    # the refined centres keep the convention of the file
    assert fine["lon"].values.min() >= min(0, lon.min()) - 0.5 - 180 * (lon.min() < -90)
    bounds = fine["lon_bnds"].values
    np.testing.assert_allclose(bounds.mean(axis=1), fine["lon"].values)
    np.testing.assert_allclose(bounds[:, 1] - bounds[:, 0], 0.5)


def test_same_cells_in_other_conventions_relate():
    lat = np.arange(40.0, 44)
    west, east = np.arange(-4.0, 4), np.arange(-4.0, 4) % 360
    lr = grid_of(latlon(lat, east))
    hr = grid_of(latlon(lat, west)).refine(3)
    assert relate(lr, hr) == (3, (0, 0, 0, 0))
    assert lr.refine(3).origin() == hr.origin()


def test_bounds_follow_the_order_of_the_data():
    grid = grid_of(latlon(np.arange(50.0, 40, -1), np.arange(5.0)))
    coords = grid.coordinates()
    bounds = coords["lat_bnds"].values
    np.testing.assert_allclose(bounds[0], [50.5, 49.5])
    np.testing.assert_allclose(bounds[1:, 0], bounds[:-1, 1])
    assert coords["lat"].attrs["bounds"] == "lat_bnds"
    assert coords["lat"].attrs["standard_name"] == "latitude"


def test_area_weights():
    grid = grid_of(latlon(np.arange(-87.5, 90, 5), np.arange(0.0, 20, 5)))
    weights = grid.area_weights()
    assert weights.mean() == pytest.approx(1)
    centre = np.cos(np.deg2rad(grid.y.centres))
    np.testing.assert_allclose(weights / weights.max(), centre / centre.max(), rtol=1e-3)


def test_projected_grid(data_dir):
    with xr.open_dataset(data_dir / UKV) as ds:
        grid = grid_of(ds)
        assert grid.kind == "projected"
        assert grid.mapping is not None
        assert grid.mapping[0] == "lambert_azimuthal_equal_area"
        assert (grid.area_weights() == 1).all()
        coords = grid.merge(4).coordinates()
        assert coords["latitude"].shape == (50, 50)
        # Scotland to Northern England, and the Irish sea
        assert 45 < float(coords["latitude"].min()) < float(coords["latitude"].max()) < 56
        assert -10 < float(coords["longitude"].min()) < float(coords["longitude"].max()) < 5


def test_rotated_pole_agrees_with_the_file(data_dir):
    file = "esgf__tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc"
    with xr.open_dataset(data_dir / "awkward" / file) as ds:
        grid = grid_of(ds[["tas", *[v for v in ds.variables if "rotated" in str(v).lower()]]])
        assert grid.kind == "rotated"
        coords = grid.coordinates()
        np.testing.assert_allclose(coords["latitude"], ds.lat, atol=0.02)
        off = (coords["longitude"].values - ds.lon.values + 180) % 360 - 180
        assert np.abs(off).max() < 0.02


@pytest.mark.parametrize(
    ("lat", "error", "message"),
    [
        (np.array([40.0]), AxisError, r"'lat' has only 1 cell"),
        (np.array([40.0, 41, 43]), GridError, r"'lat' is not evenly spaced.*interp"),
    ],
)
def test_bad_axes(lat, error, message):
    with pytest.raises(error, match=message):
        grid_of(latlon(lat, np.arange(3.0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lat, lon: (lat + 0.1, lon), r"does not nest.*off by 0\.4"),
        (lambda lat, lon: (np.linspace(lat[0], lat[-1] + 0.4, lat.size), lon), r"does not nest"),
        (lambda lat, lon: (lat + 1, lon), r"beyond the LR domain on the high side of 'lat'"),
        (lambda lat, lon: (lat, lon - 1), r"beyond the LR domain on the low side of 'lon'"),
        (lambda lat, lon: (lat[::4], lon[::4]), r"does not nest.*1 HR cells"),
    ],
)
def test_grids_that_do_not_nest(change, message):
    lr = grid_of(latlon(np.arange(40.0, 46), np.arange(0.0, 7)))
    fine = lr.refine(4)
    hr = grid_of(latlon(*change(fine.y.centres, fine.x.centres)))
    with pytest.raises(GridError, match=message):
        relate(lr, hr)


def test_merge_and_crop_refuse_what_leaves_nothing():
    grid = grid_of(latlon(np.arange(40.0, 46), np.arange(0.0, 7)))
    with pytest.raises(GridError, match="at least 8 are needed"):
        grid.merge(4)
    with pytest.raises(GridError, match="nothing is left"):
        grid.crop((3, 3, 0, 0))
