"""Turn datasets into the arrays a model reads: stacked fields, and what it is told of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.blocks import Times
from xdeepr.card import Quantity
from xdeepr.errors import AxisError, MissingValuesError, OptionError, VariableError
from xdeepr.grids.grid import ascending

TIME_FEATURES = ("hour", "day_of_year")
"""Features of the time alone."""

SOLAR_FEATURES = ("local_solar_time", "cos_solar_zenith")
"""Features of time and place: the sun's position in every cell."""

ENCODINGS = ("none", "class", "positional", "timestep", "cyclical")

FIELD = "field"
"""The encoding of the solar features."""

_KEPT_ATTRS = ("standard_name", "long_name", "cell_methods")


def describe(da: xr.DataArray) -> Quantity:
    """Return name, units and naming attributes of a field.

    Raises
    ------
    UnitsError
        If the field has no usable units.
    VariableError
        If no file could hold a variable of that name.
    """
    name = str(da.name)
    if not name.isprintable() or "/" in name:
        raise VariableError(
            f"{name!r} cannot be the name of a variable in a file: rename it, for example"
            f" ds.rename({{{name!r}: 'field'}})."
        )
    attrs = {key: da.attrs[key] for key in _KEPT_ATTRS if isinstance(da.attrs.get(key), str)}
    if attrs.get("standard_name") == "unknown":  # cfgrib's word for "none"
        del attrs["standard_name"]
    return Quantity(str(da.name), cf.units_of(da), attrs)


def stack_fields(ds: xr.Dataset, quantities: Sequence[Quantity], *, role: str) -> xr.DataArray:
    """Stack fields into one lazy array in the units that are asked for.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds the fields, under the same name or the same standard name.
    quantities : sequence of Quantity
        Fields and units wanted.
    role : str
        What they are, for error messages.

    Returns
    -------
    xarray.DataArray
        float32, dims (time, channel, y, x) under the names the dataset uses, latitude and
        longitude ascending. A dataset without a time dimension gets one of size 1.

    Raises
    ------
    VariableError, UnitsError, AxisError
        If a field is not there, cannot be converted, or has further dimensions.
    """
    axes = cf.find_axes(ds)
    fields = []
    for quantity in quantities:
        name = cf.select_variable(
            ds, name=quantity.name, standard_name=quantity.standard_name, role=role
        )
        field = cf.without_fill_values(ds[name])
        field = ascending(cf.convert_units(field, quantity.units), axes)
        extra = set(map(str, field.dims)) - {axes.y, axes.x, axes.time}
        if extra:
            raise AxisError(
                f"{role} {name!r} has the further dimension {sorted(extra)[0]!r}: select one entry"
                f" first, for example ds.isel({sorted(extra)[0]}=0)."
            )
        if axes.time is not None and axes.time not in field.dims:
            raise AxisError(
                f"{role} {name!r} does not vary along {axes.time!r}: drop it from the data and give"
                " static fields as covariates=."
            )
        field = field.reset_coords(drop=True).astype("float32")
        if axes.time is None:
            field = field.expand_dims("time")
        fields.append(field.variable)
    stacked = xr.Variable.concat(fields, dim="channel")
    return xr.DataArray(stacked).transpose(axes.time or "time", "channel", axes.y, axes.x)


def time_keys(time: xr.DataArray | None) -> np.ndarray:
    """Return an integer for each time that depends on that time alone.

    Parameters
    ----------
    time : xarray.DataArray, optional
        datetime64 or cftime, 1-D or scalar; None stands for a field without time.

    Returns
    -------
    numpy.ndarray
        int64: whole seconds since 1970-01-01 in the axis' own calendar.
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
    """Return feature -> encoding for what the user gave.

    Parameters
    ----------
    features : sequence or mapping of str to str
        Names alone mean "cyclical". Encodings of ``hour`` and ``day_of_year``: "cyclical" (cosine
        and sine, so that 23 h is next to 0 h), "class" (a table of embeddings), "positional" and
        "timestep" (sinusoids as for the noise level, without and with learnt layers), "none".
        ``local_solar_time`` and ``cos_solar_zenith`` are fields and have no other encoding.

    Raises
    ------
    OptionError
        For an unknown feature or encoding.
    """
    given = features if isinstance(features, Mapping) else {name: "" for name in features}
    out = {}
    for name, encoding in given.items():
        if name not in (*TIME_FEATURES, *SOLAR_FEATURES):
            raise OptionError(
                f"time feature {name!r}: choose of {', '.join((*TIME_FEATURES, *SOLAR_FEATURES))}."
            )
        usual = FIELD if name in SOLAR_FEATURES else "cyclical"
        allowed = (FIELD, "none") if name in SOLAR_FEATURES else ENCODINGS
        chosen = encoding or usual
        if chosen not in allowed:
            raise OptionError(
                f"time_features: {name!r} as {encoding!r}: choose of {', '.join(allowed)}."
            )
        if chosen != "none":
            out[name] = chosen
    return out


def time_labels(features: Mapping[str, str]) -> dict[str, str]:
    """Return the features that the network embeds itself, in the order of its label columns."""
    return {k: v for k, v in features.items() if v in ("class", "positional", "timestep")}


def time_inputs(time: xr.DataArray | None, features: Mapping[str, str]) -> Times:
    """Return what a model is told of the times.

    Parameters
    ----------
    time : xarray.DataArray, optional
        datetime64 or cftime, 1-D or scalar; None stands for a field without time.
    features : mapping of str to str
        What :func:`as_time_features` returned. The hour is in UTC, with its minutes; the day of
        the year a fraction of the calendar's year.

    Returns
    -------
    Times

    Raises
    ------
    AxisError
        If there is no time although features are wanted.
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


def check_finite(values: np.ndarray, names: Sequence[str], times: Any, role: str) -> None:
    """Refuse missing values.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (time, channel, y, x).
    names, times : sequence
        For the message; times may be an array.
    role : str
        "predictor" or "label".

    Raises
    ------
    MissingValuesError
        Names the variable, the first time and the number of missing values.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    time, channel = np.argwhere(~finite.all(axis=(2, 3)))[0]
    count = int((~finite[time, channel]).sum())
    raise MissingValuesError(
        f"{role} {names[channel]!r} has {count} missing or infinite values at"
        f" {time_text(times[time])}:"
        " fill them (for example ds.interpolate_na or ds.fillna) or select a part without them."
    )
