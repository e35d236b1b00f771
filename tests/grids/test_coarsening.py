"""Area-weighted coarsening."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from xdeepr import coarsen
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import grid_of, relate


@pytest.fixture
def italy(data_dir) -> xr.Dataset:
    return xr.open_dataset(
        data_dir / "era5/era5_t2m_italy_3h_20220501_20220630.nc", chunks={"time": 8}
    ).isel(time=slice(0, 24))


def test_italy(italy):
    lr = coarsen(italy, 4, boundary="trim")
    hr = italy.isel(latitude=slice(0, 40))
    assert dict(lr.sizes) == {"time": 24, "latitude": 10, "longitude": 12, "bnds": 2}
    assert relate(grid_of(lr), grid_of(hr)) == (4, (0, 0, 0, 0))
    plain = hr.t2m.coarsen(latitude=4, longitude=4).mean()
    # area weights differ little from plain ones within a block
    assert 1e-5 < float(np.abs(lr.t2m.values - plain.values).max()) < 0.05
    assert lr.t2m.attrs["cell_methods"].endswith("area: mean")
    assert lr.t2m.attrs["units"] == "K"
    assert "coarsened x4" in lr.attrs["history"].splitlines()[0]
    np.testing.assert_allclose(lr.latitude_bnds[0], [47.025, 46.025], atol=1e-4)


def test_the_mean_is_kept(italy):
    hr = italy.isel(latitude=slice(0, 40))
    lr = coarsen(hr, 4)

    def mean(ds):
        ds = ds.sortby("latitude")
        weights = xr.DataArray(grid_of(ds).area_weights(), dims="latitude")
        return ds.t2m.astype("float64").weighted(weights).mean(("latitude", "longitude"))

    np.testing.assert_allclose(mean(lr), mean(hr), rtol=1e-6)


def test_twice_two_is_four(italy):
    hr = italy.isel(latitude=slice(0, 40))
    twice, once = coarsen(coarsen(hr, 2), 2), coarsen(hr, 4)
    np.testing.assert_allclose(twice.t2m, once.t2m, rtol=1e-5)
    np.testing.assert_allclose(twice.latitude, once.latitude, atol=1e-4)


def test_orientation_does_not_matter(italy):
    hr = italy.isel(latitude=slice(0, 40))
    flipped = coarsen(hr.isel(latitude=slice(None, None, -1)), 4)
    xr.testing.assert_allclose(flipped.t2m.isel(latitude=slice(None, None, -1)), coarsen(hr, 4).t2m)


def test_it_is_lazy(italy):
    def never(*args, **kwargs):
        raise AssertionError("something was computed")

    with dask.config.set(scheduler=never):
        lr = coarsen(italy, 4, boundary="trim")
    assert lr.t2m.chunks is not None


def test_missing_values_stay_missing(italy):
    hr = italy.isel(latitude=slice(0, 40)).load()
    hr["t2m"][0, 5, 5] = np.nan
    lr = coarsen(hr, 4)
    assert int(np.isnan(lr.t2m).sum()) == 1
    assert np.isnan(lr.t2m[0, 1, 1])


def test_dataarray_and_projected(data_dir):
    ds = xr.open_dataset(data_dir / "mogreps-uk/UKV_analysis_20170602T1500Z-temperature.nc")
    lr = coarsen(ds.air_temperature, 5)
    assert isinstance(lr, xr.DataArray)
    assert lr.sizes == {"projection_y_coordinate": 40, "projection_x_coordinate": 40}
    both = coarsen(ds, 5)
    np.testing.assert_array_equal(both.air_temperature, lr)
    assert both.air_temperature.attrs["grid_mapping"] in both
    plain = ds.air_temperature.coarsen(projection_y_coordinate=5, projection_x_coordinate=5).mean()
    np.testing.assert_allclose(lr, plain, rtol=1e-6)
    assert {"latitude", "longitude"} <= set(both.coords)


def test_errors(italy):
    with pytest.raises(GridError, match=r"latitude: 43.*boundary='trim'"):
        coarsen(italy, 4)
    for factor in (1, 0, 2.5, True):
        with pytest.raises(OptionError, match="factor"):
            coarsen(italy, factor)
    with pytest.raises(OptionError, match="boundary"):
        coarsen(italy, 4, boundary="pad")
