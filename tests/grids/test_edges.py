"""Grids at the edges of what is common: seams, poles, single precision, odd grid mappings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_grids import EUR11, EUR22, latlon, open_real, projected
from xdeepr import cf
from xdeepr.errors import GridError
from xdeepr.grids import Grid, grid_of, relate


@settings(deadline=None)
@given(
    start=st.integers(-700, 700),
    cut=st.integers(0, 10),
    factor=st.sampled_from([1, 2, 3, 5]),
    dtype=st.sampled_from(["f4", "f8"]),
    step=st.sampled_from([0.1, 0.25, 0.5, 1 / 3]),
)
def test_origin_where_edges_are_at_half_a_step(
    start: int, cut: int, factor: int, dtype: str, step: float
) -> None:
    """ERA5's are: rounding them makes every second cell of a sub-domain collide."""
    lat = (step * (start % 150 + np.arange(24.0))).astype(dtype)
    lon = (step * (start + np.arange(24.0))).astype(dtype)
    da = latlon(lat, lon)
    part = da.isel(lat=slice(cut, None), lon=slice(cut, None))
    whole, moved = (grid_of(d).refine(factor).origin() for d in (da, part))
    around = round(360 / step) * factor
    assert moved == (whole[0] + factor * cut, (whole[1] + factor * cut) % around)


def test_origin_of_a_few_cells_in_single_precision() -> None:
    da = latlon(np.arange(4.0), (350 + 0.1 * np.arange(40)).astype("f4"))
    x = [grid_of(da.isel(lon=slice(i, i + 2))).origin()[1] for i in range(38)]
    assert x == list(range(x[0], x[0] + 38))


@pytest.mark.parametrize("start", [0.0, -180.0])
def test_longitude_around_the_globe_stays_monotonic(start: float) -> None:
    """CF wants it so; the first HR cell of ERA5 lies west of Greenwich."""
    grid = grid_of(latlon(np.arange(4.0), start + np.arange(360.0)))
    longitude = grid.refine(4).coordinates()["lon"].values
    assert (np.diff(longitude) > 0).all()
    assert longitude[0] == pytest.approx(start - 0.375)


def test_cells_beyond_the_pole_are_refused() -> None:
    grid = grid_of(latlon(np.linspace(90, -90, 19), np.arange(0.0, 360, 10)))
    with pytest.raises(GridError, match=r"'lat' would reach 92\.5.*isel"):
        grid.refine(2).coordinates()
    grid.refine(2).crop((1, 1, 0, 0)).coordinates()


@pytest.mark.parametrize("name", [EUR11, EUR22])
def test_rotated_latitude_and_longitude(data_dir: Path, name: str) -> None:
    ds = open_real(data_dir, name)
    coords = grid_of(ds).coordinates()
    np.testing.assert_allclose(coords["latitude"], ds["lat"], atol=1e-3)
    off = (coords["longitude"].values - ds["lon"].values + 180) % 360 - 180
    np.testing.assert_allclose(off, 0, atol=1e-3)


def test_rotated_longitudes_are_compared_modulo_a_turn() -> None:
    def rotated(rlon: np.ndarray, n: int) -> Grid:
        rlat = np.arange(n) * (8 / n) + 4 / n
        return grid_of(
            xr.DataArray(np.zeros((n, len(rlon))), {"rlat": rlat, "rlon": rlon}, ("rlat", "rlon"))
        )

    hr = rotated(358.25 + 0.5 * np.arange(8), 16)
    assert relate(rotated(-9.5 + np.arange(20.0), 8), hr) == (2, (0, 0, 16, 16))


def test_kilometres() -> None:
    metres, kilometres = (grid_of(projected(u, s)) for u, s in (("m", 1), ("km", 1e-3)))
    for name in ("latitude", "longitude"):
        np.testing.assert_allclose(
            kilometres.coordinates()[name], metres.coordinates()[name], atol=1e-9
        )


def test_a_mapping_that_is_not_understood_costs_only_latitude_and_longitude() -> None:
    ds = projected()
    ds["crs"].attrs["grid_mapping_name"] = "nonsense"
    with pytest.warns(UserWarning, match=r"'crs' is not understood.*correct its attributes"):
        coords = grid_of(ds).coordinates()
    assert set(coords) == {"x", "x_bnds", "y", "y_bnds", "crs"}


def test_a_dimension_of_bounds_is_no_time_axis(data_dir: Path) -> None:
    """Dimension and variable of the bounds have one name."""
    file = data_dir / "awkward/iristest__small_rotPole_precipitation.nc"
    with xr.open_dataset(file, engine="netcdf4") as ds:
        assert cf.find_axes(ds) == cf.Axes("rlat", "rlon", "time")
