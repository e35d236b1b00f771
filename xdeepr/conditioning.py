"""Turn datasets into the channels a network is conditioned on.

Channels come in a fixed order: the predictors interpolated to the HR grid, the static
covariates, then two channels (cosine, sine) for each time feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.card import Quantity
from xdeepr.errors import AxisError, GridError, MissingValuesError, OptionError, UnitsError
from xdeepr.grid import Grid, ascending, grid_of

TIME_FEATURES = ("hour", "day_of_year")
"""Time features that exist; each is a point on the unit circle, so 23 h is next to 0 h."""

_KEPT_ATTRS = ("standard_name", "long_name", "cell_methods")


def describe(da: xr.DataArray) -> Quantity:
    """Return name, units and naming attributes of a field.

    Raises
    ------
    UnitsError
        If the field has no usable units.
    """
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
        field = ascending(cf.convert_units(ds[name], quantity.units), axes)
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


def time_channels(time: xr.DataArray | None, features: Sequence[str]) -> np.ndarray:
    """Return cosine and sine of each time feature.

    Parameters
    ----------
    time : xarray.DataArray, optional
        datetime64 or cftime, 1-D or scalar.
    features : sequence of {"hour", "day_of_year"}
        Hour of day in UTC; day of year as a fraction of the calendar's year.

    Returns
    -------
    numpy.ndarray
        float32, shape (time, 2 · len(features)).

    Raises
    ------
    AxisError
        If there is no time although features are wanted.
    OptionError
        For an unknown feature.
    """
    unknown = sorted(set(features) - set(TIME_FEATURES))
    if unknown:
        raise OptionError(f"time feature {unknown[0]!r}: choose of {', '.join(TIME_FEATURES)}.")
    if not features:
        return np.zeros((1 if time is None else max(time.size, 1), 0), dtype=np.float32)
    if time is None:
        raise AxisError(
            f"the model is conditioned on {' and '.join(features)}, but the data has no time"
            " coordinate: add one, for example ds.expand_dims(time=[np.datetime64('2024-01-01')])."
        )
    time = xr.DataArray(np.atleast_1d(time.values), dims="time")
    hour = time.dt.hour + time.dt.minute / 60 + time.dt.second / 3600
    year = 360.0 if time.dt.calendar == "360_day" else 365.25
    turns = {"hour": hour / 24, "day_of_year": (time.dt.dayofyear - 1 + hour / 24) / year}
    angles = [2 * np.pi * turns[name].values for name in features]
    return np.stack([f(a) for a in angles for f in (np.cos, np.sin)], axis=1).astype(np.float32)


def covariates_on(grid: Grid, covariates: xr.Dataset, quantities: Sequence[Quantity]) -> np.ndarray:
    """Bring static covariates onto the HR grid.

    Fields that are on this grid (or on a larger one with the same cells) are taken as they
    are; others are interpolated bilinearly by coordinates.

    Parameters
    ----------
    grid : Grid
        The HR grid.
    covariates : xarray.Dataset
        Static fields; a time dimension of size 1 is dropped.
    quantities : sequence of Quantity
        Fields and units wanted.

    Returns
    -------
    numpy.ndarray
        float32, shape (covariate, y, x), ascending.

    Raises
    ------
    GridError
        If the covariates are on another kind of grid or do not cover the HR grid.
    MissingValuesError
        If a covariate is not finite somewhere on the HR grid.
    """
    fields = []
    for quantity in quantities:
        name = cf.select_variable(
            covariates, name=quantity.name, standard_name=quantity.standard_name, role="covariate"
        )
        field = static_field(covariates[[name]], name)
        field = cf.convert_units(field, quantity.units).astype("float64")
        fields.append(_regrid(field, grid, name))
    return np.stack(fields).astype(np.float32)


def static_field(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return a field without its dimensions of size 1, refusing others than y and x.

    Raises
    ------
    AxisError
        If the field varies along a further dimension.
    """
    axes = cf.find_axes(ds)
    field = ds[name]
    for dim in map(str, field.dims):
        if dim in (axes.y, axes.x):
            continue
        if field.sizes[dim] > 1:
            raise AxisError(
                f"covariate {name!r} varies along {dim!r}, but covariates are static: select one"
                f" entry, for example covariates.isel({dim}=0)."
            )
        field = field.isel({dim: 0}, drop=True)
    return field


def _regrid(field: xr.DataArray, grid: Grid, name: str) -> np.ndarray:
    """Interpolate one static field to the centres of a grid."""
    source = grid_of(field)
    if source.kind != grid.kind:
        raise GridError(
            f"covariate {name!r} is on a {source.kind} grid, the HR grid is {grid.kind}: regrid"
            " the covariate to the HR grid first."
        )
    axes = cf.find_axes(field)
    field = ascending(field, axes).reset_coords(drop=True)
    field = field.assign_coords({axes.y: source.y.centres, axes.x: source.x.centres})
    wanted = {"y": grid.y.centres, "x": grid.x.centres}
    if grid.kind == "latlon":
        low = source.x.edges[0]
        tolerance = 1e-6 * source.x.step
        wanted["x"] = low + (wanted["x"] - low + tolerance) % 360 - tolerance
        if abs(source.x.size * source.x.step - 360) < 0.5 * source.x.step:
            last = field.isel({axes.x: [-1]})
            first = field.isel({axes.x: [0]})
            field = xr.concat(
                [
                    last.assign_coords({axes.x: last[axes.x] - 360}),
                    field,
                    first.assign_coords({axes.x: first[axes.x] + 360}),
                ],
                dim=axes.x,
            )
    for dim, key, axis in ((axes.y, "y", source.y), (axes.x, "x", source.x)):
        if (wanted[key] < axis.edges[0] - 0.01 * axis.step).any() or (
            wanted[key] > axis.edges[-1] + 0.01 * axis.step
        ).any():
            raise GridError(
                f"covariate {name!r} covers {dim} {axis.edges[0]:g} to {axis.edges[-1]:g}, the HR"
                f" grid needs {wanted[key].min():g} to {wanted[key].max():g}: give a covariate"
                " that covers the HR domain."
            )
        centres = field[dim].values
        wanted[key] = np.clip(wanted[key], centres[0], centres[-1])
    values = field.interp({axes.y: wanted["y"], axes.x: wanted["x"]}).values
    if not np.isfinite(values).all():
        raise MissingValuesError(
            f"covariate {name!r} has missing values on the HR grid: fill them, for example"
            f" covariates[{name!r}].fillna(0) where 0 is the value over sea."
        )
    return values


def describe_covariates(covariates: xr.Dataset) -> tuple[Quantity, ...]:
    """Return the static covariates of a dataset; units that are missing count as "1".

    Masks and fractions often come without units. They only need the same units in training
    and in use, so "1" is safe.
    """
    axes = cf.find_axes(covariates)
    quantities = []
    for name in cf.spatial_variables(covariates, axes):
        field = static_field(covariates[[name]], name)
        try:
            quantities.append(describe(field))
        except UnitsError:
            if field.attrs.get("units"):
                raise
            quantities.append(describe(field.assign_attrs(units="1")))
    return tuple(quantities)


def time_text(time: Any) -> str:
    """Return a time for people: ISO 8601 to the second."""
    return str(np.datetime_as_string(time, "s") if isinstance(time, np.datetime64) else time)


def check_finite(values: np.ndarray, names: Sequence[str], times: Sequence[Any], role: str) -> None:
    """Refuse missing values.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (time, channel, y, x).
    names, times : sequence
        For the message.
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
