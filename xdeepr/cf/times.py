"""Times: which dimension they run along, whether they can be relied on, and when a field is valid.

A forecast has two times, its start and the time that it is valid at. Files differ in which of the
two their dimension is; what counts everywhere is when a field is valid.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import xarray as xr

from xdeepr.cf.units import convert_units
from xdeepr.errors import AxisError

XarrayObject = TypeVar("XarrayObject", xr.DataArray, xr.Dataset)

_REFERENCE_NAMES = ("forecast_reference_time", "reference_time", "init_time", "initial_time")
"""Names of a forecast's start, where no standard_name tells."""

_PERIOD_NAMES = ("forecast_period", "step", "lead_time", "leadtime")
"""Names of the time since a forecast's start, where no standard_name tells."""

_VALID_NAMES = ("valid_time", "validity_time", "time_valid")
"""Names of the time that a field is valid at, beside the start under the standard_name "time"."""


def find_time(obj: xr.DataArray | xr.Dataset) -> str | None:
    """Return the dimension of time, if there is one."""
    named = []
    bounds = {c.attrs.get("bounds", c.encoding.get("bounds")) for c in obj.coords.values()}
    for dim in map(str, obj.dims):
        if dim in bounds:  # some files call the dimension of the bounds like the bounds
            continue
        if dim not in obj.coords:
            if dim.lower() == "time":
                named.append(dim)
            continue
        coord = obj.coords[dim]
        if coord.ndim != 1:  # bounds may be named as the dimension of their two vertices
            continue
        decoded = holds_times(coord)
        undecoded = " since " in str(coord.attrs.get("units", ""))
        cf_time = coord.attrs.get("standard_name") == "time" or coord.attrs.get("axis") == "T"
        if decoded or undecoded or cf_time or dim.lower() == "time":
            named.append(dim)
    if len(named) > 1:
        raise AxisError(
            f"more than one time axis: {', '.join(named)}. Select one entry along those that are"
            f" not meant, for example ds.isel({named[1]}=0)."
        )
    return named[0] if named else None


def holds_times(coord: xr.DataArray) -> bool:
    """Whether a coordinate holds decoded times: datetime64 or cftime objects."""
    if np.issubdtype(coord.dtype, np.datetime64):
        return True
    if coord.dtype != object or coord.size == 0:
        return False
    return type(coord.values.flat[0]).__module__.startswith("cftime")


def check_time(obj: xr.DataArray | xr.Dataset, time: str | None) -> None:
    """Refuse a time axis that is not decoded, not in ascending order, or not unique."""
    if time is None:
        return
    if time not in obj.coords:
        raise AxisError(
            f"{time!r} has no coordinate values: add them with"
            f" ds.assign_coords({time}=...); files of WRF hold them as text:"
            " pd.to_datetime(ds.Times.astype(str), format='%Y-%m-%d_%H:%M:%S')."
        )
    coord = obj.coords[time]
    if coord.size == 0:
        raise AxisError(f"{time!r} is empty: check the selection that made it.")
    if not holds_times(coord):
        units = str(coord.attrs.get("units", "missing"))
        cure = (
            "decode it with xr.decode_cf"
            if " since " in units
            else "state units such as 'days since 2000-01-01' and decode it with xr.decode_cf, or"
            f" assign times: ds.assign_coords({time}=pd.to_datetime(..., format='%Y%m'))"
        )
        raise AxisError(
            f"{time!r} holds {coord.dtype} numbers, not times (units {units!r}): {cure}."
        )
    index = obj.indexes[time]
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise AxisError(f"{time!r} holds {twice} more than once: ds.drop_duplicates({time!r}).")
    if not index.is_monotonic_increasing:
        raise AxisError(f"{time!r} is not in ascending order: ds.sortby({time!r}).")


def is_reference_time(coord: xr.DataArray, name: str) -> bool:
    """Whether a coordinate says when a forecast started."""
    stated = coord.attrs.get("standard_name")
    return stated == "forecast_reference_time" or (stated is None and name in _REFERENCE_NAMES)


def valid_time(obj: xr.DataArray | xr.Dataset, time: str | None) -> xr.DataArray | None:
    """Return the times at which fields are valid, (time,), or () for a single field.

    Along the dimension of time, or of a single field: a coordinate called "valid_time"; one beside
    the dimension's own whose standard_name is "time" (cfgrib gives it to the start too); the
    dimension's own, unless it is the start of forecasts; the start plus the forecast period; and
    the start where there is no period.
    """
    dims = () if time is None else (time,)
    times = {str(n): c for n, c in obj.coords.items() if c.dims == dims and holds_times(c)}
    starts = {name for name, coord in times.items() if is_reference_time(coord, name)}
    beside = [name for name in times if name not in starts and name != time]
    named = [name for name in beside if name in _VALID_NAMES]
    stated = [name for name in beside if times[name].attrs.get("standard_name") == "time"]
    if named or stated:
        return times[(named or stated)[0]]
    if time is not None and time not in starts:
        return obj[time]
    if time is None and beside:
        return times[beside[0]]
    if not starts:
        return None
    start = times[time if time in starts else min(starts)]
    for name, coord in obj.coords.items():
        if set(coord.dims) <= set(dims) and _is_period(coord, str(name)):
            return _after(start, coord)
    return start if time is not None else None


def _is_period(coord: xr.DataArray, name: str) -> bool:
    """Whether a coordinate holds the time since a forecast's start."""
    stated = coord.attrs.get("standard_name")
    is_duration = np.issubdtype(coord.dtype, np.timedelta64)
    silent = stated is None and name in _PERIOD_NAMES and is_duration
    return stated == "forecast_period" or silent


def _after(start: xr.DataArray, period: xr.DataArray) -> xr.DataArray:
    """Return the times that lie a forecast period after a start."""
    if not np.issubdtype(period.dtype, np.timedelta64):  # files opened with decode_timedelta=False
        period = (convert_units(period, "s").astype("float64") * 1e9).round().astype("m8[ns]")
    lead = period.values
    if start.dtype == object:  # cftime adds the durations of the standard library
        lead = lead.astype("m8[us]").astype(object)
    values: Any = start.values + lead
    return xr.DataArray(
        values, {str(n): c for n, c in start.coords.items() if n != "valid_time"}, start.dims,
        name="valid_time", attrs={"standard_name": "time"},
    )  # fmt: skip


def at_valid_times(obj: XarrayObject, time: str | None) -> XarrayObject:
    """Return the data with the times at which fields are valid as coordinate along `time`."""
    valid = None if time is None else valid_time(obj, time)
    if valid is None or valid.name == time:
        return obj
    return obj.assign_coords({time: (time, valid.values, {"standard_name": "time"})})
