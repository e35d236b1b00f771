"""Where the sun stands: zenith angle and local solar time in each cell of a grid.

What the sun does at a place follows from time, latitude and longitude, and much of the weather's
daily and yearly course follows from it. The hour in UTC says it for one longitude only.
"""

from __future__ import annotations

import numpy as np

from xdeepr.errors import OptionError

TROPICAL_YEAR = 365.2422
"""Days from one spring equinox to the next."""

_REAL = ("standard", "gregorian", "proleptic_gregorian")
"""Calendars of the real world, in which a date is a moment of the earth's way round the sun."""

_YEAR_DAYS = {
    "360_day": 360,
    "noleap": 365,
    "365_day": 365,
    "all_leap": 366,
    "366_day": 366,
}

_EPOCH = np.datetime64("2000-01-01", "us")


def solar_declination_and_equation_of_time(turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the latitude at which the sun is overhead, in radians, and the equation of time.

    The equation of time, apparent minus mean solar time, is in minutes. `turn` is the part of the
    year that has passed: 0 at midnight UTC before January 1, towards 1.

    Notes
    -----
    Against the algorithm of Meeus, 1998, "Astronomical algorithms", in the form of NOAA's solar
    calculator, in the years 1940 to 2100: the declination is off by at most 0.05 degrees, the
    equation of time by at most 0.8 minutes, given a `turn` of the tropical year.

    References
    ----------
    Spencer, 1971, "Fourier series representation of the position of the sun", Search 2(5), 172,
    with the erratum of the first term of the equation of time.
    """
    angle = 2 * np.pi * np.asarray(turn, dtype=np.float64)
    cos, sin = ({k: function(k * angle) for k in (1, 2, 3)} for function in (np.cos, np.sin))
    declination = (
        0.006918
        - 0.399912 * cos[1] + 0.070257 * sin[1]
        - 0.006758 * cos[2] + 0.000907 * sin[2]
        - 0.002697 * cos[3] + 0.001480 * sin[3]
    )  # fmt: skip
    radians = (
        0.0000075
        + 0.001868 * cos[1] - 0.032077 * sin[1]
        - 0.014615 * cos[2] - 0.040849 * sin[2]
    )  # fmt: skip
    return declination, radians * 24 * 60 / (2 * np.pi)


def year_and_day(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of the year that has passed, 0 to 1, and the hour of the day, 0 to 24.

    Times (time,) are datetime64 or cftime, in UTC. In the calendars of the real world the year is
    counted in tropical years from the start of 2000, so that leap years do not shift the seasons
    to and fro (by up to half a degree of declination). In those of models ("360_day", "noleap",
    ...) and in the Julian one it is the calendar's own.
    """
    time = np.atleast_1d(np.asarray(time))
    if np.issubdtype(time.dtype, np.datetime64):
        if np.isnat(time).any():
            raise OptionError("time: a value is missing (NaT), so there is no sun: drop it.")
        days = (time.astype("datetime64[us]") - _EPOCH) / np.timedelta64(1, "D")
        return days / TROPICAL_YEAR % 1, days % 1 * 24
    if not all(hasattr(value, "dayofyr") for value in time):
        raise OptionError(f"time is an array of {time.dtype}: give datetime64 or cftime.")
    hour = np.array(
        [t.hour + (t.minute + (t.second + t.microsecond * 1e-6) / 60) / 60 for t in time]
    )
    if time.size and time[0].calendar in _REAL:
        import cftime

        days = cftime.date2num(time, "days since 2000-01-01", calendar=time[0].calendar)
        return np.asarray(days, dtype=np.float64) / TROPICAL_YEAR % 1, hour
    length = np.array([_YEAR_DAYS.get(t.calendar, 366 - (t.year % 4 > 0)) for t in time])
    return (np.array([t.dayofyr - 1 for t in time]) + hour / 24) / length, hour


def cos_solar_zenith(time: np.ndarray, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the cosine of the solar zenith angle at the moment, (time, y, x), float32.

    Times (time,) are in UTC, of any calendar; latitude and longitude (y, x) in degrees north and
    east. Below 0 the sun is under the horizon. It is not cut off there: how deep the night is tells
    dusk from dawn to come.

    Notes
    -----
    With declination δ, latitude φ and hour angle h, counted from noon,
    cos θ = sin φ sin δ + cos φ cos δ cos h. Within 0.005 of NOAA's solar calculator; refraction
    and the height of the ground are left out.
    """
    if np.shape(latitude) != np.shape(longitude):
        raise OptionError(
            f"latitude has the shape {np.shape(latitude)}, longitude {np.shape(longitude)}: give"
            " both for each cell."
        )
    turn, hour = year_and_day(time)
    declination, equation = solar_declination_and_equation_of_time(turn)
    overhead = -2 * np.pi * (hour - 12 + equation / 60) / 24  # longitude, in radians
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    # the scalar product of the directions to the sun and to the zenith: sines and cosines are
    # needed of times and of cells, and not of all pairs of them
    sun = (
        np.cos(declination) * np.cos(overhead),
        np.cos(declination) * np.sin(overhead),
        np.sin(declination),
    )
    zenith = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    out = np.zeros((turn.size, *np.shape(latitude)), dtype=np.float32)
    for ours, theirs in zip(sun, zenith, strict=True):
        ours = ours.astype(np.float32).reshape(-1, *[1] * np.ndim(latitude))
        out += ours * np.asarray(theirs, dtype=np.float32)
    return np.clip(out, -1, 1, out=out)


def local_solar_time(time: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the apparent solar time, (time, y, x), float32: 0 to 24 h, the sun highest at 12.

    Times (time,) are in UTC, of any calendar; longitude (y, x) in degrees east.
    """
    turn, hour = year_and_day(time)
    _, equation = solar_declination_and_equation_of_time(turn)
    start = (hour + equation / 60).reshape(-1, *[1] * np.ndim(longitude))
    out = ((start + np.asarray(longitude, dtype=np.float64) / 15) % 24).astype(np.float32)
    out[out >= 24] = 0  # what rounding made of 23.9999999
    return out
