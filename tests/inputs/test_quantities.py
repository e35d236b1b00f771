"""From datasets to channels."""

from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xdeepr.errors import AxisError, MissingValuesError, OptionError
from xdeepr.grids import gridded
from xdeepr.inputs.quantities import Quantity, check_finite, describe, stack_fields
from xdeepr.inputs.times import as_time_features, time_inputs, time_keys, time_text

T2M = Quantity("t2m", "K")


@pytest.fixture
def small(italy_lr) -> xr.Dataset:
    return italy_lr[["t2m"]].isel(time=slice(0, 3))


# --- predictors ----------------------------------------------------------------------------------


def test_stack_is_ascending_float32_in_the_units_wanted(small):
    celsius = small.assign(t2m=(small.t2m.astype(float) - 273.15).assign_attrs(units="degC"))
    for ds in (small, celsius, small.sortby("latitude"), small.transpose(..., "time")):
        stacked = stack_fields(gridded(ds), [T2M], role="predictor")
        assert stacked.dims == ("time", "channel", "latitude", "longitude")
        assert stacked.dtype == np.float32
        np.testing.assert_allclose(stacked[:, 0], small.t2m.sortby("latitude"), rtol=1e-6)


def test_stack_keeps_the_order_asked_for(small):
    both = small.assign(u10=(small.t2m * 0).assign_attrs(units="m s-1"))
    stacked = stack_fields(gridded(both), [Quantity("u10", "km/h"), T2M], role="predictor")
    assert (stacked[:, 0] == 0).all()
    assert (stacked[:, 1] > 200).all()


def test_stack_finds_a_field_by_standard_name(small):
    renamed = small.rename(t2m="tas").assign(tp=(small.t2m * 0).assign_attrs(units="m"))
    renamed.tas.attrs["standard_name"] = "air_temperature"
    renamed.tp.attrs["standard_name"] = "precipitation_amount"
    wanted = Quantity("t2m", "K", {"standard_name": "air_temperature"})
    assert (stack_fields(gridded(renamed), [wanted], role="predictor") > 200).all()


def test_stack_is_lazy(small, count_computes):
    stack_fields(gridded(small.chunk(time=1).sortby("latitude")), [T2M], role="predictor")
    assert count_computes == [0]


def test_one_time_without_a_dimension(small):
    stacked = stack_fields(gridded(small.isel(time=1)), [T2M], role="predictor")
    assert stacked.sizes["time"] == 1


def test_describe_keeps_what_names_the_quantity(small):
    field = small.t2m.assign_attrs(standard_name="air_temperature", valid_min=3)
    quantity = describe(field)
    assert (quantity.name, quantity.units) == ("t2m", "K")
    assert quantity.attrs["standard_name"] == "air_temperature"
    assert "valid_min" not in quantity.attrs


# --- time ----------------------------------------------------------------------------------------


def test_keys_depend_on_the_time_alone():
    times = pd.date_range("2022-05-01", periods=5, freq="90s")
    whole = time_keys(xr.DataArray(times, dims="time"))
    assert np.diff(whole).tolist() == [90] * 4
    for unit in ("s", "ms", "us", "ns"):
        part = xr.DataArray(times[3:4].as_unit(unit), dims="time")
        assert time_keys(part).tolist() == whole[3:4].tolist()
        assert time_keys(part[0]).tolist() == whole[3:4].tolist()
    assert time_keys(None).tolist() == [0]


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_keys_of_other_calendars(calendar):
    dates = [cftime.datetime(1850 + 50 * i, 2, 28, 3, calendar=calendar) for i in range(6)]
    keys = time_keys(xr.DataArray(dates, dims="time"))
    assert (np.diff(keys) > 0).all()
    assert time_keys(xr.DataArray(dates[4])).tolist() == [keys[4]]
    assert (keys % 3600 == 0).all()


def channels_of(times, features):
    return time_inputs(times, as_time_features(features)).channels


def test_time_channels_lie_on_the_unit_circle():
    times = xr.DataArray(pd.date_range("2020-01-01", "2021-01-01", freq="3h"), dims="time")
    channels = channels_of(times, ("hour", "day_of_year"))
    assert channels.shape == (times.size, 4)
    assert channels.dtype == np.float32
    np.testing.assert_allclose(channels[:, 0] ** 2 + channels[:, 1] ** 2, 1, atol=1e-6)
    np.testing.assert_allclose(channels[0], [1, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(channels[2, :2], [0, 1], atol=1e-6)  # 6 h is a quarter turn
    # no jump at midnight or at new year
    assert np.abs(np.diff(channels[:, 2:], axis=0)).max() < 0.02
    np.testing.assert_allclose(channels_of(times[5], ("hour",)), channels[5:6, :2])


def test_a_year_of_360_days_is_a_whole_turn():
    dates = xr.DataArray([cftime.Datetime360Day(2000, 1 + 3 * i, 1) for i in range(4)], dims="time")
    channels = channels_of(dates, ("day_of_year",))
    np.testing.assert_allclose(channels, [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-6)


def test_time_features_without_a_time():
    assert channels_of(None, ()).shape == (1, 0)
    with pytest.raises(AxisError, match=r"hour.*expand_dims"):
        channels_of(None, ("hour",))
    with pytest.raises(OptionError, match=r"minute.*hour, day_of_year"):
        channels_of(None, ("minute",))


def test_labels_are_numbers_in_their_own_units():
    times = xr.DataArray(pd.date_range("2021-01-01T06:30", periods=3, freq="D"), dims="time")
    told = time_inputs(times, as_time_features({"day_of_year": "class", "hour": "positional"}))
    np.testing.assert_allclose(told.labels[:, 0], np.arange(3) + 6.5 / 24, rtol=1e-6)
    np.testing.assert_allclose(told.labels[:, 1], 6.5)
    assert told.channels.shape == (3, 0)
    assert told.months.tolist() == [1, 1, 1]
    part = told.at([2, 0])
    assert part.keys.tolist() == told.keys[[2, 0]].tolist()
    assert len(told.at(slice(1, 3))) == 2


def test_encodings():
    assert as_time_features(("hour", "cos_solar_zenith")) == {
        "hour": "cyclical",
        "cos_solar_zenith": "field",
    }
    assert as_time_features({"hour": "none", "day_of_year": "timestep"}) == {
        "day_of_year": "timestep"
    }
    with pytest.raises(OptionError, match=r"'hour'\]='klass' is not one of.*class"):
        as_time_features({"hour": "klass"})
    with pytest.raises(OptionError, match=r"'cos_solar_zenith'\]='class' is not one of field"):
        as_time_features({"cos_solar_zenith": "class"})


def test_time_text():
    assert time_text(np.datetime64("2022-05-01T03", "ns")) == "2022-05-01T03:00:00"
    assert time_text(cftime.Datetime360Day(2000, 2, 30)).startswith("2000-02-30")


# --- missing values ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_missing_value_is_named(value):
    values = np.zeros((3, 2, 4, 4), np.float32)
    check_finite(values, ["a", "b"], ["x", "y", "z"], "label")
    values[1, 1, :2, 0] = value
    with pytest.raises(MissingValuesError, match=r"label 'b' has 2 .* at y"):
        check_finite(values, ["a", "b"], ["x", "y", "z"], "label")
