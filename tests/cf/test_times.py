"""Valid time: one rule for all verbs, however a file states the start of its forecasts."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import xarray as xr

import xdeepr
from xdeepr import cf
from xdeepr.grids import gridded
from xdeepr.testing import assert_same_field
from xdeepr.training.alignment import align

LEAD = np.timedelta64(24, "h")
START = {"standard_name": "forecast_reference_time"}
VALID = {"standard_name": "time"}
PERIOD = {"standard_name": "forecast_period"}


@pytest.fixture
def truth(rng) -> xr.Dataset:
    """Labels on 8 x 8 cells, every 6 h."""
    times = np.arange(24) * np.timedelta64(6, "h") + np.datetime64("2020-06-01", "ns")
    degrees = {"latitude": "degrees_north", "longitude": "degrees_east"}
    coords = {k: (k, 40 + 0.25 * np.arange(8), {"units": u}) for k, u in degrees.items()}
    values = rng.normal(280, 3, (24, 8, 8)).astype("f4")
    fields = {"t2m": (("time", *coords), values, {"units": "K"})}
    return xr.Dataset(fields, {"time": times, **coords})


def along_start(ds: xr.Dataset, layout: str) -> xr.Dataset:
    """Return the same fields as forecasts of 24 h, stored along their start."""
    valid = ds.time.values
    attrs = VALID if layout == "cfgrib" else START
    out = ds.assign_coords(time=("time", valid - LEAD, attrs))
    if layout == "number of hours":
        return out.assign_coords(step=((), 24.0, {**PERIOD, "units": "hours"}))
    out = out.assign_coords(step=((), LEAD, PERIOD))
    if layout == "start and period":
        return out
    stated = {} if layout == "name alone" else VALID
    return out.assign_coords(valid_time=("time", valid, stated))


LAYOUTS = ("stated", "cfgrib", "name alone", "start and period", "number of hours")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_forecast_counts_when_it_is_valid(truth, layout):
    forecast = along_start(truth, layout)
    valid = cf.valid_time(forecast, "time")
    assert valid is not None
    assert (valid.values == truth.time.values).all()
    if layout != "cfgrib":  # whose start, alone, calls itself the time
        single = cf.valid_time(forecast.isel(time=5), None)
        assert single is not None
        assert single.values == truth.time.values[5]
    moved = cf.at_valid_times(forecast, "time")
    assert moved.indexes["time"].equals(truth.indexes["time"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_verify_joins_at_valid_times(truth, layout):
    forecast = along_start(truth, layout)
    scores = xdeepr.verify(forecast, truth, baseline=None)
    assert float(scores.rmse.item()) == 0
    assert int(scores["count"].item()) == truth.t2m.size
    single = xdeepr.verify(forecast.isel(time=[5]).squeeze("time"), truth, baseline=None)
    assert float(single.rmse.item()) == 0


def test_the_baseline_of_a_forecast_is_its_own(truth):
    coarse = truth.deepr.coarsen(2)
    fine = xdeepr.downscale(coarse, "nearest", factor=2)
    forecast = along_start(truth, "stated")
    by_start = xdeepr.verify(
        forecast, truth, baseline="nearest", predictor=along_start(coarse, "stated")
    )
    by_field = xdeepr.verify(truth, truth, baseline=fine)
    assert_same_field(by_start.rmse.values, by_field.rmse.values)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_downscaled_forecast_is_still_one(truth, layout):
    fine = xdeepr.downscale(along_start(truth.deepr.coarsen(2), layout), "nearest", factor=2)
    assert int(xdeepr.verify(fine, truth, baseline=None)["count"].item()) == truth.t2m.size


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fit_pairs_at_valid_times(truth, layout):
    coarse = truth.deepr.coarsen(2)
    paired = align(gridded(along_start(coarse, layout)), gridded(truth))
    assert (paired.time.values == truth.time.values).all()
    assert (paired.lr.values[:, 0] == align(gridded(coarse), gridded(truth)).lr.values[:, 0]).all()


def test_start_and_period_of_other_calendars():
    start = np.array([cftime.Datetime360Day(2000, 2, day) for day in (28, 29)])
    ds = xr.Dataset(coords={"time": ("time", start, START), "step": ((), LEAD, PERIOD)})
    valid = cf.valid_time(ds, "time")
    assert valid is not None
    assert [(t.month, t.day) for t in valid.values] == [(2, 29), (2, 30)]


def test_a_start_without_a_period_is_all_there_is(truth):
    alone = truth.assign_coords(time=("time", truth.time.values, START))
    valid = cf.valid_time(alone, "time")
    assert valid is not None
    assert valid.name == "time"
    assert cf.valid_time(alone.isel(time=0), None) is None
    assert cf.valid_time(truth.isel(time=0, drop=True), None) is None
