"""What a model learns of the time: cyclical channels, labels, and the keys of its noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.checks import one_of
from xdeepr.errors import AxisError

EMBEDDED = ("class", "positional", "timestep")
"""Encodings that the network makes itself; :mod:`xdeepr.networks.time_labels` has their layers."""

FIELD = "field"
"""The encoding of features that differ from cell to cell."""

ENCODINGS = {
    "hour": ("cyclical", *EMBEDDED),
    "day_of_year": ("cyclical", *EMBEDDED),
    "local_solar_time": (FIELD,),
    "cos_solar_zenith": (FIELD,),
}
"""Feature -> its encodings, the usual one first."""

TIME_FEATURES = tuple(name for name, known in ENCODINGS.items() if FIELD not in known)
"""Features of the time alone; the others need the place too."""


@dataclass(frozen=True)
class Times:
    """What a model learns of the times, one row each.

    Parameters
    ----------
    channels : numpy.ndarray
        Cyclical features as cosine and sine, float32, shape (time, channel).
    labels : numpy.ndarray
        Features that the network embeds itself, as numbers, float32, shape (time, label).
    months : numpy.ndarray
        1 to 12, int, shape (time,); 0 where there is no time.
    keys : numpy.ndarray
        What the noise is keyed with, int64, shape (time,).
    stamps : numpy.ndarray
        The times themselves, for error messages, shape (time,).
    """

    channels: np.ndarray
    labels: np.ndarray
    months: np.ndarray
    keys: np.ndarray
    stamps: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, which: slice | Sequence[int]) -> Times:
        """Return some of the times."""
        index = np.arange(len(self))[which]
        return Times(*(array[index] for array in vars(self).values()))


def time_keys(time: xr.DataArray | None) -> np.ndarray:
    """Return an integer for each time that depends on that time alone.

    It is the whole seconds since 1970-01-01 in the axis' own calendar; [0] where there is no time.
    """
    if time is None:
        return np.zeros(1, dtype=np.int64)
    values = np.atleast_1d(time.values)
    if np.issubdtype(values.dtype, np.datetime64):
        return values.astype("datetime64[s]").astype(np.int64)
    import cftime

    seconds = cftime.date2num(values, "seconds since 1970-01-01", calendar=time.dt.calendar)
    return np.rint(np.asarray(seconds, dtype=np.float64)).astype(np.int64)


def as_time_features(features: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return feature -> encoding for what the user gave; names alone get the usual encoding.

    Encodings of ``hour`` and ``day_of_year``: "cyclical" (cosine and sine, so that 23 h is next to
    0 h), "class" (a table of embeddings), "positional" and "timestep" (sinusoids as for the noise
    level, without and with learnt layers), "none". ``local_solar_time`` and ``cos_solar_zenith``
    are fields and have no other encoding.
    """
    given = features if isinstance(features, Mapping) else {name: "" for name in features}
    out = {}
    for name, encoding in given.items():
        known = ENCODINGS[one_of("time_features", name, ENCODINGS)]
        chosen = encoding or known[0]
        one_of(f"time_features[{name!r}]", chosen, (*known, "none"))
        if chosen != "none":
            out[name] = chosen
    return out


def time_labels(features: Mapping[str, str]) -> dict[str, str]:
    """Return the features that the network embeds itself, in the order of its label columns."""
    return {k: v for k, v in features.items() if v in EMBEDDED}


def time_inputs(time: xr.DataArray | None, features: Mapping[str, str]) -> Times:
    """Return what a model learns of the times by its features (of :func:`as_time_features`).

    The hour is in UTC, with its minutes; the day of the year a fraction of the calendar's year.
    """
    if time is None:
        if features:
            raise AxisError(
                f"the model is conditioned on {' and '.join(features)}, but the data has no time"
                " coordinate: add one, for example"
                " ds.expand_dims(time=[np.datetime64('2024-01-01')])."
            )
        none = np.zeros((1, 0), dtype=np.float32)
        stamps = np.array(["the only time"])
        return Times(none, none, np.zeros(1, int), time_keys(None), stamps)
    values = np.atleast_1d(time.values)
    time = xr.DataArray(values, dims="time")
    hour = (time.dt.hour + time.dt.minute / 60 + time.dt.second / 3600).values
    day = time.dt.dayofyear.values - 1 + hour / 24
    year = 360.0 if time.dt.calendar == "360_day" else 365.25
    numbers = {"hour": (hour, 24.0), "day_of_year": (day, year)}
    angles = [
        2 * np.pi * numbers[name][0] / numbers[name][1]
        for name, encoding in features.items()
        if encoding == "cyclical"
    ]
    channels = [f(angle) for angle in angles for f in (np.cos, np.sin)]
    labels = [numbers[name][0] for name in time_labels(features)]
    return Times(
        _columns(channels, values.size),
        _columns(labels, values.size),
        time.dt.month.values.astype(int),
        time_keys(time),
        values,
    )


def _columns(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Return float32 columns side by side, also if there are none."""
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((rows, 0), "f4")


def time_text(time: Any) -> str:
    """Return a time for people: ISO 8601 to the second."""
    return str(np.datetime_as_string(time, "s") if isinstance(time, np.datetime64) else time)
