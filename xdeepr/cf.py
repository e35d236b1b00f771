"""Find axes by CF criteria, check and convert units, write the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from xdeepr._version import __version__
from xdeepr.errors import AxisError, UnitsError, VariableError

LATITUDE_UNITS = frozenset(
    ["degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN"]
)
LONGITUDE_UNITS = frozenset(
    ["degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE"]
)

# The criteria for each axis, from the surest to the weakest (CF 1.11, sections 4 and 5).
_Y = {
    "standard_name": {"latitude", "grid_latitude", "projection_y_coordinate"},
    "units": LATITUDE_UNITS,
    "axis": {"Y"},
    "name": {"lat", "latitude", "rlat", "y", "grid_latitude", "projection_y_coordinate"},
}
_X = {
    "standard_name": {"longitude", "grid_longitude", "projection_x_coordinate"},
    "units": LONGITUDE_UNITS,
    "axis": {"X"},
    "name": {"lon", "longitude", "rlon", "x", "grid_longitude", "projection_x_coordinate"},
}

_UNIT_SPELLINGS = {"(0 - 1)": "1", "": "1", "~": "1", "dimensionless": "1", "fraction": "1"}


@dataclass(frozen=True)
class Axes:
    """Names of the dimensions of a field.

    Parameters
    ----------
    y, x : str
        The horizontal dimensions.
    time : str or None
        The dimension of time.
    """

    y: str
    x: str
    time: str | None


def as_dataset(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Return a dataset; a DataArray without a name is called "field".

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        A dataset is returned as it is.
    """
    if isinstance(obj, xr.Dataset):
        return obj
    return obj.to_dataset(name=obj.name if obj.name is not None else "field")


def find_axes(obj: xr.DataArray | xr.Dataset) -> Axes:
    """Find the horizontal axes and time.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Must have 1-D horizontal coordinates.

    Returns
    -------
    Axes

    Raises
    ------
    AxisError
        If a horizontal axis is missing, ambiguous, two-dimensional or empty.
    """
    y = _horizontal(obj, _Y, "latitude", "y")
    x = _horizontal(obj, _X, "longitude", "x")
    for dim in (y, x):
        if obj.sizes[dim] == 0:
            raise AxisError(
                f"the domain is empty: {dim!r} has size 0. Check the selection that made it (a"
                " latitude that descends needs slice(north, south))."
            )
    return Axes(y, x, _time(obj))


def _horizontal(
    obj: xr.DataArray | xr.Dataset, criteria: Mapping[str, Any], what: str, short: str
) -> str:
    """Return the dimension of one horizontal axis."""
    flat = {str(n): c for n, c in obj.coords.items() if c.ndim == 1 and c.dims == (n,)}
    for kind, accepted in criteria.items():
        found = [
            name
            for name, coord in flat.items()
            if (name.lower() if kind == "name" else coord.attrs.get(kind)) in accepted
        ]
        if len(found) > 1:
            raise AxisError(
                f"more than one {what} axis: {', '.join(found)}. Drop or rename those that are not"
                f" meant, for example ds.drop_vars({found[1]!r})."
            )
        if found:
            return found[0]
    folded = [
        str(n)
        for n, c in obj.coords.items()
        if c.ndim > 1
        and (c.attrs.get("standard_name") == what or c.attrs.get("units") in criteria["units"])
    ]
    if folded:
        raise AxisError(
            f"{folded[0]!r} is two-dimensional (a curvilinear grid) and there is no 1-D {short}"
            " axis: add the grid's own x and y coordinates, or regrid to a rectilinear grid first"
            " (for example with xesmf)."
        )
    dims = ", ".join(map(str, obj.dims)) or "none"
    raise AxisError(
        f"no {what} axis found (dimensions: {dims}). Give the coordinate the attribute"
        f" standard_name={what!r}, for example ds[{what[:3]!r}].attrs['standard_name'] = {what!r}."
    )


def _time(obj: xr.DataArray | xr.Dataset) -> str | None:
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


def check_time(obj: xr.DataArray | xr.Dataset, axes: Axes) -> None:
    """Refuse a time axis that cannot be relied on.

    Raises
    ------
    AxisError
        If times are not decoded, not in ascending order, or not unique.
    """
    if axes.time is None:
        return
    if axes.time not in obj.coords:
        raise AxisError(
            f"{axes.time!r} has no coordinate values: add them with"
            f" ds.assign_coords({axes.time}=...)."
        )
    coord = obj.coords[axes.time]
    if coord.size == 0:
        raise AxisError(f"{axes.time!r} is empty: check the selection that made it.")
    if not holds_times(coord):
        raise AxisError(
            f"{axes.time!r} holds {coord.dtype} numbers, not times"
            f" (units {coord.attrs.get('units', 'missing')!r}): decode it with xr.decode_cf, or"
            " assign times with ds.assign_coords."
        )
    index = obj.indexes[axes.time]
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise AxisError(
            f"{axes.time!r} holds {twice} more than once: ds.drop_duplicates({axes.time!r})."
        )
    if not index.is_monotonic_increasing:
        raise AxisError(f"{axes.time!r} is not in ascending order: ds.sortby({axes.time!r}).")


def spatial_variables(ds: xr.Dataset, axes: Axes) -> list[str]:
    """Return the names of the data variables that have both horizontal dimensions."""
    bounds = {v.attrs.get("bounds", v.encoding.get("bounds")) for v in ds.variables.values()}
    return [
        str(name)
        for name, da in ds.data_vars.items()
        if {axes.y, axes.x} <= set(da.dims)
        and name not in bounds
        and np.issubdtype(da.dtype, np.number)
    ]


def select_variable(
    ds: xr.Dataset,
    *,
    name: str | None = None,
    standard_name: str | None = None,
    role: str = "predictor",
) -> str:
    """Return the variable that is meant.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look.
    name, standard_name : str, optional
        What to look for: first by name, then by standard name; otherwise the only candidate.
    role : str
        What it is, for the message.

    Raises
    ------
    VariableError
        If there is none, or more than one candidate.
    """
    names = spatial_variables(ds, find_axes(ds))
    if name in names:
        return str(name)
    candidates = names
    if standard_name is not None:
        same = [n for n in names if ds[n].attrs.get("standard_name") == standard_name]
        stated_others = [n for n in names if "standard_name" in ds[n].attrs and n not in same]
        candidates = same or [n for n in names if n not in stated_others]
    if len(candidates) == 1:
        return candidates[0]
    wanted = f" {name!r}" if name else ""
    if not candidates:
        raise VariableError(
            f"{role}{wanted} not found; there are: {', '.join(names) or 'no gridded variables'}."
            f" Rename the variable that is meant, or set its standard_name."
        )
    raise VariableError(
        f"{role}{wanted} is ambiguous; candidates: {', '.join(candidates)}. Select the one that is"
        f" meant, for example ds[[{candidates[0]!r}]]."
    )


def units_of(da: xr.DataArray) -> str:
    """Return the units of a field in a spelling that pint understands.

    Raises
    ------
    UnitsError
        If units are missing or unknown.
    """
    if "units" not in da.attrs:
        raise UnitsError(
            f"{da.name!r} has no units: set them, for example ds[{da.name!r}].attrs['units'] = 'K'."
        )
    stated = str(da.attrs["units"]).strip()
    spelled = _UNIT_SPELLINGS.get(stated, stated)
    try:
        _parse(spelled)
    except Exception as error:  # pint raises many kinds for text that is no unit
        raise UnitsError(
            f"{da.name!r} has the units {stated!r}, which are not known ({error}): correct"
            f" ds[{da.name!r}].attrs['units'], for example 'K', 'm s-1' or 'kg m-2 s-1'."
        ) from None
    return spelled


def _parse(units: str) -> Any:
    """Return a pint unit."""
    from cf_xarray.units import units as registry

    return registry.parse_units(units)


def convert_units(da: xr.DataArray, units: str) -> xr.DataArray:
    """Convert a field, lazily.

    Water amounts convert between depth and mass (1 mm = 1 kg m-2).

    Parameters
    ----------
    da : xarray.DataArray
        A field with the attribute ``units``.
    units : str
        Units wanted.

    Returns
    -------
    xarray.DataArray
        float32 stays float32; other numbers become float64.

    Raises
    ------
    UnitsError
        If units are missing or unknown, or of another physical dimension.
    """
    found = units_of(da)
    if found == units:
        return da.assign_attrs(units=units)
    ours, theirs = _parse(found), _parse(units)
    if ours == theirs:
        return da.assign_attrs(units=units)
    density = 1.0
    if ours.dimensionality != theirs.dimensionality:
        density = _water_density(ours, theirs)
    if not density:
        raise UnitsError(
            f"{da.name!r} has the units {found!r}, which do not convert to {units!r}: give the"
            f" quantity that is wanted, or correct ds[{da.name!r}].attrs['units']."
        )
    offset = _convert(0.0, ours, theirs, density)
    slope = _convert(1.0, ours, theirs, density) - offset
    kind = da.dtype if np.issubdtype(da.dtype, np.floating) else np.dtype("float64")
    out = da.astype(kind) * kind.type(slope) + kind.type(offset)
    return out.assign_attrs({**da.attrs, "units": units})


def _water_density(ours: Any, theirs: Any) -> float:
    """Return 1000 kg m-3 to the power that makes the dimensions agree, or 0 if none does."""
    from cf_xarray.units import units as registry

    water = 1000 * registry.kilogram / registry.meter**3
    for power in (1, -1):
        if (1 * ours * water**power).dimensionality == theirs.dimensionality:
            return float(1000.0**power)
    return 0.0


def _convert(value: float, ours: Any, theirs: Any, density: float) -> float:
    """Convert one number, multiplying by a power of the density of water where needed."""
    from cf_xarray.units import units as registry

    quantity = registry.Quantity(value, ours)
    if density != 1.0:
        power = 1 if density > 1 else -1
        quantity = quantity * (1000 * registry.kilogram / registry.meter**3) ** power
    return float(quantity.to(theirs).magnitude)


def history_line(text: str) -> str:
    """Return a line for the ``history`` attribute, with date and version."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{now} xdeepr {__version__}: {text}"


def append_history(attrs: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return attributes with a line put in front of ``history``."""
    old = str(attrs.get("history", "")).strip()
    return {**attrs, "history": "\n".join(filter(None, [history_line(text), old]))}
