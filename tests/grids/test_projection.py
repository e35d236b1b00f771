"""Latitude and longitude of the cells of any grid; pyproj behind its one door."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.example_grids import EUR11, latlon, open_real, projected
from xdeepr.errors import GridError
from xdeepr.grids import grid_of, projection

pyproj = pytest.importorskip("pyproj")

UKV = "mogreps-uk/UKV_analysis_20170602T1500Z-temperature.nc"


def test_coordinates_of_a_latlon_grid_are_its_own():
    field = latlon(np.array([46.0, 45.0, 44.0]), np.array([358.0, 359.0, 0.0, 1.0]))
    latitude, longitude = np.broadcast_arrays(*grid_of(field).positions())
    np.testing.assert_allclose(latitude[:, 0], [44, 45, 46])
    np.testing.assert_allclose(longitude[0] % 360, [358, 359, 0, 1])
    assert latitude.shape == longitude.shape == (3, 4)


@pytest.mark.parametrize(("units", "scale"), [("m", 1.0), ("km", 1e-3)])
@pytest.mark.parametrize("flips", [{}, {"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
def test_coordinates_of_a_projected_grid(units, scale, flips):
    grid = grid_of(projected(units, scale).isel(flips))
    latitude, longitude = np.broadcast_arrays(*grid.positions())
    assert latitude.shape == (6, 8)
    assert (latitude[0, 0], longitude[0, 0]) == pytest.approx((54.9, -2.5))
    assert (np.diff(latitude, axis=0) > 0).all()
    assert (np.diff(longitude, axis=1) > 0).all()


def test_coordinates_of_a_rotated_grid_are_those_of_the_file(data_dir):
    ds = open_real(data_dir, EUR11)
    latitude, longitude = np.broadcast_arrays(*grid_of(ds[["tas", "rotated_pole"]]).positions())
    np.testing.assert_allclose(latitude, ds.lat, atol=1e-3)
    np.testing.assert_allclose((longitude - ds.lon + 180) % 360 - 180, 0, atol=1e-3)


def test_projected_grid_without_mapping_is_refused():
    ds = projected()
    del ds.t.attrs["grid_mapping"]
    with pytest.raises(GridError, match="grid_mapping"):
        grid_of(ds).positions()


def test_unknown_units_are_refused():
    with pytest.raises(GridError, match=r"'furlong'.*kilometres"):
        grid_of(projected("furlong")).positions()


def test_missing_pyproj_is_named(monkeypatch):
    monkeypatch.setattr(projection, "load_pyproj", lambda: None)
    with pytest.raises(GridError, match=r"xdeepr\[geo\]"):
        grid_of(projected()).positions()


def test_mapping_that_is_not_understood_is_refused():
    ds = projected()
    ds.crs.attrs["grid_mapping_name"] = "scribble"
    with (
        pytest.warns(UserWarning, match="not understood"),
        pytest.raises(GridError, match="correct its attributes"),
    ):
        grid_of(ds).positions()


def test_cells_off_the_earth_are_refused():
    with pytest.raises(GridError, match="on the earth"):
        grid_of(projected(scale=3000.0)).positions()


def test_projected_coordinates_after_eccodes_was_loaded_do_not_crash(data_dir):
    """The wheels of ecCodes and pyproj crash each other in the wrong order of loading."""
    pytest.importorskip("eccodes")
    code = (
        "import xarray as xr, warnings\n"
        f"ds = xr.open_dataset({str(data_dir / UKV)!r})\n"
        "import eccodes\n"
        "warnings.simplefilter('ignore')\n"
        "from xdeepr.grids import grid_of\n"
        "print(sorted(grid_of(ds).coordinates())[:1])\n"
    )
    for first in ("import xdeepr\n", ""):
        done = subprocess.run(
            [sys.executable, "-c", first + code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
