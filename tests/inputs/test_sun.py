"""The sun's position against an independent algorithm, known days and places, and geometry."""

from __future__ import annotations

import math
from datetime import datetime

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipe

from xdeepr.errors import OptionError
from xdeepr.inputs import sun as solar
from xdeepr.inputs.sun import (
    cos_solar_zenith,
    local_solar_time,
    solar_declination_and_equation_of_time,
    year_and_day,
)

SUNRISE = -0.833
"""Height of the sun's centre, in degrees, when its upper edge is seen at the horizon."""

TILT = 23.44


def hours(day: str, count: int = 24) -> np.ndarray:
    """Return whole hours from a day on."""
    return np.datetime64(day, "ns") + np.arange(count) * np.timedelta64(1, "h")


def at(time: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Return the cosine of the zenith angle at one place."""
    return cos_solar_zenith(time, np.array([[latitude]]), np.array([[longitude]]))[:, 0, 0]


# --- an independent computation ------------------------------------------------------------------


def meeus(time: np.datetime64) -> tuple[float, float]:
    """Declination (radians) and equation of time (minutes), as NOAA's solar calculator has them.

    Meeus, 1998, Astronomical Algorithms, chapters 25 and 28 (low accuracy, 0.01 degrees).
    """
    day = float((time - np.datetime64("2000-01-01T12:00")) / np.timedelta64(1, "D"))
    century = day / 36525
    longitude = math.radians(280.46646 + century * (36000.76983 + 0.0003032 * century))
    anomaly = math.radians(357.52911 + century * (35999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = math.radians(
        math.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * century)
    apparent = longitude + centre - math.radians(0.00569 + 0.00478 * math.sin(node))
    obliquity = math.radians(23.4392911 - 0.0130042 * century + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(obliquity) * math.sin(apparent))
    y = math.tan(obliquity / 2) ** 2
    equation = (
        y * math.sin(2 * longitude)
        - 2 * eccentricity * math.sin(anomaly)
        + 4 * eccentricity * y * math.sin(anomaly) * math.cos(2 * longitude)
        - y**2 / 2 * math.sin(4 * longitude)
        - 5 / 4 * eccentricity**2 * math.sin(2 * anomaly)
    )
    return declination, 4 * math.degrees(equation)


instants = st.datetimes(datetime(1940, 1, 1), datetime(2100, 12, 31))
latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 360)


@settings(deadline=None)
@given(instants, latitudes, longitudes)
def test_agrees_with_meeus(instant, latitude, longitude):
    time = np.datetime64(instant, "us")
    declination, equation = meeus(time)
    day = time - time.astype("datetime64[D]")
    hour = float(day / np.timedelta64(1, "h")) + longitude / 15 + equation / 60
    expected = math.sin(math.radians(latitude)) * math.sin(declination) + math.cos(
        math.radians(latitude)
    ) * math.cos(declination) * math.cos(math.radians(15 * (hour - 12)))
    assert at(np.array([time]), latitude, longitude)[0] == pytest.approx(expected, abs=0.005)
    ours = local_solar_time(np.array([time]), np.array([[longitude]]))[0, 0, 0]
    assert (ours - hour + 12) % 24 - 12 == pytest.approx(0, abs=0.8 / 60)


@settings(deadline=None)
@given(instants)
def test_declination_agrees_with_meeus(instant):
    time = np.datetime64(instant, "us")
    ours, _ = solar_declination_and_equation_of_time(year_and_day(np.array([time]))[0])
    assert np.rad2deg(ours[0]) == pytest.approx(np.rad2deg(meeus(time)[0]), abs=0.06)


# --- known days and places -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "minutes"),
    [("02-11", -14.2), ("04-15", 0.0), ("05-14", 3.7), ("06-13", 0.0), ("07-26", -6.5),
     ("09-01", 0.0), ("11-03", 16.4), ("12-25", 0.0)],
)  # fmt: skip
def test_equation_of_time_at_its_extremes_and_zeros(day, minutes):
    for year in (1979, 2000, 2023, 2099):
        turn, _ = year_and_day(np.array([f"{year}-{day}T12:00"], dtype="datetime64[ns]"))
        _, equation = solar_declination_and_equation_of_time(turn)
        assert equation[0] == pytest.approx(minutes, abs=1)


@pytest.mark.parametrize("year", [1979, 2000, 2023, 2100])
def test_declination_is_largest_at_the_solstices(year):
    time = hours(f"{year}-01-01", 365 * 24)
    declination, _ = solar_declination_and_equation_of_time(year_and_day(time)[0])
    assert np.rad2deg([declination.max(), declination.min()]) == pytest.approx(
        [TILT, -TILT], abs=0.05
    )
    days = [time[i].astype("datetime64[D]") for i in (declination.argmax(), declination.argmin())]
    for found, solstice in zip(days, (f"{year}-06-21", f"{year}-12-21"), strict=True):
        assert abs(found - np.datetime64(solstice)) <= np.timedelta64(2, "D")


def test_sun_is_overhead_on_the_equator_at_noon_of_the_equinox():
    # 20 March 2023, 21:24 UTC; the sun stands over -139 + 1.9 degrees then
    time = np.array(["2023-03-20T21:24"], dtype="datetime64[s]")
    assert at(time, 0, -139.1)[0] == pytest.approx(1, abs=2e-4)
    assert at(time, 0, 40.9)[0] == pytest.approx(-1, abs=2e-4)


def rise_and_set(day: str, latitude: float, longitude: float) -> tuple[float, float]:
    """Return hours of sunrise and sunset from midnight UTC before the local day."""
    start = np.datetime64(day, "m") - np.timedelta64(round(longitude * 4), "m")
    time = start + np.arange(24 * 60) * np.timedelta64(1, "m")
    up = at(time, latitude, longitude) > math.sin(math.radians(SUNRISE))
    edges = np.flatnonzero(np.diff(up.astype(int)))
    assert len(edges) == 2
    rise, set_ = (float((time[i + 1] - np.datetime64(day, "m")).astype(int) / 60) for i in edges)
    return rise, set_


@pytest.mark.parametrize(
    ("latitude", "longitude", "day", "utc", "sunrise", "sunset"),
    [
        (51.507, -0.128, "2023-06-21", 1, "04:43", "21:21"),  # London
        (51.507, -0.128, "2023-12-21", 0, "08:04", "15:53"),
        (40.713, -74.006, "2023-06-21", -4, "05:25", "20:31"),  # New York
        (40.713, -74.006, "2023-12-21", -5, "07:17", "16:32"),
        (-33.869, 151.209, "2023-12-21", 11, "05:41", "20:05"),  # Sydney
        (35.69, 139.69, "2023-06-21", 9, "04:25", "19:00"),  # Tokyo
    ],
)
def test_sunrise_and_sunset_of_cities(latitude, longitude, day, utc, sunrise, sunset):
    for ours, stated in zip(rise_and_set(day, latitude, longitude), (sunrise, sunset), strict=True):
        hour, minute = map(int, stated.split(":"))
        assert (ours + utc) * 60 == pytest.approx(hour * 60 + minute, abs=4)


@pytest.mark.parametrize(("day", "north"), [("2024-06-20", True), ("2024-12-21", False)])
def test_polar_day_and_polar_night(day, north):
    for latitude in (67.5, 75.0, 90.0):
        assert ((at(hours(day), latitude, 20.0) > 0) == north).all()
        assert ((at(hours(day), -latitude, 20.0) > 0) == (not north)).all()


def test_at_the_pole_the_sun_keeps_its_height():
    day = at(hours("2024-06-20"), 90.0, 0.0)
    np.testing.assert_allclose(day, math.sin(math.radians(TILT)), atol=1e-3)


@pytest.mark.parametrize("latitude", [-60.0, -35.0, 0.0, 20.0, 52.0, 65.0])
@pytest.mark.parametrize(
    ("day", "declination"), [("2023-06-21", TILT), ("2023-12-22", -TILT), ("2023-03-21", 0.0)]
)
def test_length_of_the_day(latitude, day, declination):
    time = np.datetime64(day, "m") + np.arange(24 * 60) * np.timedelta64(1, "m")
    lit = (at(time, latitude, 0.0) > 0).mean() * 24
    cosine = -math.tan(math.radians(latitude)) * math.tan(math.radians(declination))
    assert lit == pytest.approx(2 * math.degrees(math.acos(cosine)) / 15, abs=0.15)


def test_annual_mean_on_the_equator():
    """Daily mean there: cos δ / π, whose mean along the orbit is an elliptic integral."""
    start = np.datetime64("2023-01-01", "m")
    year = at(start + np.arange(0, 365 * 24 * 60, 10) * np.timedelta64(1, "m"), 0.0, 0.0)
    expected = 2 / math.pi * ellipe(math.sin(math.radians(TILT)) ** 2) / math.pi
    assert np.maximum(year, 0).mean() == pytest.approx(expected, rel=2e-3)
    assert year.mean() == pytest.approx(0, abs=1e-3)


# --- geometry ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(instants, st.floats(-80, 80), longitudes, st.floats(0, 11.5))
def test_morning_mirrors_afternoon(instant, latitude, longitude, distance):
    """Equal times before and after solar noon have equal heights, but for the day's drift."""
    time = np.datetime64(instant, "us")
    solar_hour = local_solar_time(np.array([time]), np.array([[longitude]]))[0, 0, 0]
    noon = time + np.timedelta64(round((12 - float(solar_hour)) * 3.6e9), "us")
    away = np.timedelta64(round(distance * 3.6e9), "us")
    before, top, after = at(np.array([noon - away, noon, noon + away]), latitude, longitude)
    assert before == pytest.approx(after, abs=0.01)
    assert top >= max(before, after) - 1e-6


@settings(deadline=None)
@given(instants, latitudes, longitudes)
def test_the_opposite_point_sees_the_opposite(instant, latitude, longitude):
    time = np.array([np.datetime64(instant, "us")])
    here, there = at(time, latitude, longitude), at(time, -latitude, longitude + 180)
    assert here[0] == pytest.approx(-there[0], abs=1e-6)


@settings(deadline=None)
@given(instants, latitudes, longitudes)
def test_longitudes_count_modulo_the_globe(instant, latitude, longitude):
    time = np.array([np.datetime64(instant, "us")])
    assert at(time, latitude, longitude)[0] == pytest.approx(
        at(time, latitude, longitude - 360)[0], abs=1e-6
    )


def test_night_is_negative_and_nothing_leaves_the_range():
    latitude, longitude = np.meshgrid(np.linspace(-90, 90, 19), np.arange(0, 360, 20.0))
    found = cos_solar_zenith(hours("2024-01-01", 48), latitude, longitude)
    assert found.shape == (48, *latitude.shape)
    assert found.dtype == np.float32
    assert -1 <= found.min() < -0.99
    assert 0.99 < found.max() <= 1


def test_a_part_equals_that_part_of_the_whole():
    """To the bit, so that chunks cannot be seen."""
    latitude, longitude = np.meshgrid(np.linspace(36, 47, 37), np.linspace(6, 18, 41))
    time = hours("2024-02-25", 100)
    cells = (slice(3, 30), slice(5, 6))
    for function, places in (
        (cos_solar_zenith, (latitude, longitude)),
        (local_solar_time, (longitude,)),
    ):
        whole = function(time, *places)
        part = function(time[17:50], *(p[cells] for p in places))
        np.testing.assert_array_equal(part, whole[17:50][..., cells[0], cells[1]])


def test_time_dimension_may_be_empty():
    nothing = np.zeros((0,), "datetime64[ns]")
    assert cos_solar_zenith(nothing, np.zeros((2, 3)), np.zeros((2, 3))).shape == (0, 2, 3)
    assert local_solar_time(nothing, np.zeros((2, 3))).shape == (0, 2, 3)


# --- local solar time ----------------------------------------------------------------------------


def test_local_solar_time_goes_with_the_longitude():
    time = np.array(["2023-04-15T12:00"], dtype="datetime64[ns]")  # equation of time: 0
    longitude = np.array([[0.0, 15.0, 90.0, 179.0, 180.5, 270.0, -90.0]])
    found = local_solar_time(time, longitude)[0, 0]
    np.testing.assert_allclose(found, [12, 13, 18, 23.933, 0.0333, 6, 6], atol=0.02)
    assert found.dtype == np.float32


@settings(deadline=None)
@given(instants, longitudes)
def test_local_solar_time_stays_below_24(instant, longitude):
    found = local_solar_time(np.array([np.datetime64(instant, "us")]), np.array([[longitude]]))
    assert 0 <= found[0, 0, 0] < 24


def test_rounding_never_makes_24_hours(monkeypatch):
    monkeypatch.setattr(
        solar, "solar_declination_and_equation_of_time", lambda turn: (turn * 0, turn * 0)
    )
    time = np.array(["2023-04-15"], dtype="datetime64[ns]")
    assert local_solar_time(time, np.array([[-1e-9]]))[0, 0, 0] == 0


def test_sun_is_highest_at_12():
    time = np.datetime64("2024-10-30", "m") + np.arange(24 * 60) * np.timedelta64(1, "m")
    top = at(time, 45.0, 10.0).argmax()
    found = local_solar_time(time[[top]], np.array([[10.0]]))[0, 0, 0]
    assert found == pytest.approx(12, abs=0.03)


# --- calendars -----------------------------------------------------------------------------------


def test_cftime_equals_datetime64():
    time = hours("1996-02-27", 24 * 400)[::7] + np.timedelta64(1234, "s")
    for calendar in ("standard", "proleptic_gregorian"):
        theirs = xr.DataArray(time, dims="time", coords={"time": time})
        theirs = theirs.convert_calendar(calendar, use_cftime=True).time.values
        for a, b in zip(year_and_day(time), year_and_day(theirs), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("calendar", "half"), [("360_day", (7, 1, 0)), ("noleap", (7, 2, 12)), ("all_leap", (7, 2, 0))]
)
def test_model_calendars_count_parts_of_their_own_year(calendar, half):
    month, day, hour = half
    dates = [(1, 1, 0), (month, day, hour)]
    time = np.array([cftime.datetime(2045, *date, calendar=calendar) for date in dates])
    turn, _ = year_and_day(time)
    np.testing.assert_allclose(turn, [0, 0.5], atol=1e-12)


def test_julian_years_are_their_own():
    time = [cftime.datetime(y, 12, 31, 12, calendar="julian") for y in (1900, 1901)]
    np.testing.assert_allclose(year_and_day(np.array(time))[0], 1 - 0.5 / np.array([366, 365]))


def test_30_february_has_a_sun():
    time = np.array([cftime.Datetime360Day(2000, 2, 30, hour) for hour in range(24)])
    found = at(time, 0.0, 0.0)
    real = at(hours("2000-03-01"), 0.0, 0.0)
    np.testing.assert_allclose(found, real, atol=0.02)


def test_seasons_do_not_shift_with_leap_years():
    """The same moment of the tropical year, 4 × 365.2422 days apart, has the same sun."""
    start = np.datetime64("1999-03-20T12:00", "s")
    shift = np.timedelta64(round(365.2422 * 86400), "s")
    turn, _ = year_and_day(start + np.arange(5) * shift)
    np.testing.assert_allclose(turn, turn[0], atol=1e-6)


# --- errors --------------------------------------------------------------------------------------


def test_what_is_no_time_is_refused():
    with pytest.raises(OptionError, match="datetime64 or cftime"):
        year_and_day(np.arange(3))
    with pytest.raises(OptionError, match="NaT"):
        year_and_day(np.array(["2000-01-01", "NaT"], dtype="datetime64[ns]"))


def test_latitude_and_longitude_must_match():
    with pytest.raises(OptionError, match="each cell"):
        cos_solar_zenith(hours("2000-01-01"), np.zeros(3), np.zeros(4))
