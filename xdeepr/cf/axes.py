"""Find the axes of a field by CF criteria: 1-D ones, and those of curvilinear grids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.cf.times import find_time
from xdeepr.errors import AxisError

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
_CRITERIA = {"latitude": _Y, "longitude": _X}

# Two-dimensional ones are often without attributes (WRF, NEMO).
_FOLDED_NAMES = {
    "latitude": {"lat", "latitude", "xlat", "nav_lat", "lat2d"},
    "longitude": {"lon", "longitude", "xlong", "xlon", "nav_lon", "lon2d"},
}
_Y_DIMS = frozenset(
    ["y", "j", "nj", "nlat", "lat", "latitude", "rlat", "south_north", "eta", "row"]
)
_X_DIMS = frozenset(["x", "i", "ni", "nlon", "lon", "longitude", "rlon", "west_east", "xi", "col"])


@dataclass(frozen=True)
class Axes:
    """Names of the dimensions of a field: the horizontal ones, and time if there is one."""

    y: str
    x: str
    time: str | None


def find_axes(obj: xr.DataArray | xr.Dataset) -> Axes:
    """Find the horizontal axes, 1-D or by 2-D latitudes and longitudes, and time."""
    y, x = (_flat(obj, axis) for axis in _CRITERIA)
    if y is None or x is None:
        pairs = folded_pairs(obj)
        if len(pairs) > 1:
            found = "; ".join(f"{names[0]} ({', '.join(dims)})" for dims, names in pairs.items())
            raise AxisError(
                f"more than one curvilinear grid: {found}. Select the variables that are on one of"
                " them, for example ds[['name']], and drop the other coordinates."
            )
        if not pairs:
            raise _missing(obj, "latitude" if y is None else "longitude")
        ((y, x),) = pairs
    for dim in (y, x):
        if obj.sizes[dim] == 0:
            raise AxisError(
                f"the domain is empty: {dim!r} has size 0. Check the selection that made it (a"
                " latitude that descends needs slice(north, south))."
            )
    return Axes(y, x, find_time(obj))


def _flat(obj: xr.DataArray | xr.Dataset, axis: str) -> str | None:
    """Return the dimension of one horizontal axis that has a coordinate.

    What the coordinates state by CF comes first, in the order of our criteria: cf_xarray takes all
    of them for equal, which is ambiguous where a latitude stands beside a grid_latitude. It knows
    the statements of others (THREDDS, GrADS, long names), which come before bare names.
    """
    flat = {str(n): c for n, c in obj.coords.items() if c.ndim == 1 and c.dims == (n,)}
    for kind, accepted in _CRITERIA[axis].items():
        found = [name for name, coord in flat.items() if _stated(name, coord, kind) in accepted]
        if kind == "name":
            found = _stated_otherwise(obj, axis, flat) or found
        if len(found) > 1:
            raise AxisError(
                f"more than one {axis} axis: {', '.join(found)}. Drop or rename those that are not"
                f" meant, for example ds.drop_vars({found[1]!r})."
            )
        if found:
            return found[0]
    return None


def _stated_otherwise(
    obj: xr.DataArray | xr.Dataset, axis: str, names: Collection[str]
) -> list[str]:
    """Return those of some coordinates that are the axis by criteria of cf_xarray."""
    import cf_xarray  # noqa: F401  # registers the accessor `.cf`

    try:
        known = {**obj.cf.axes, **obj.cf.coordinates}
    except ValueError:  # it trips on an attribute that is an array
        return []
    keys = (axis, "Y" if axis == "latitude" else "X")
    return [str(n) for key in keys for n in known.get(key, ()) if n in names]


def _stated(name: str, coord: xr.DataArray, kind: str) -> Any:
    """Return what a coordinate says of itself."""
    return name.lower() if kind == "name" else coord.attrs.get(kind)


def folded_pairs(obj: xr.DataArray | xr.Dataset) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the names of 2-D latitudes and longitudes by their dimensions (y, x).

    In a dataset they may stand among the data variables. A dimension of time besides is allowed,
    as in the files of WRF.
    """
    variables: Mapping[Any, Any] = obj.coords if isinstance(obj, xr.DataArray) else obj.variables
    bounds = {v.attrs.get("bounds", v.encoding.get("bounds")) for v in variables.values()}
    found: dict[str, dict[frozenset[str], list[str]]] = {"latitude": {}, "longitude": {}}
    order: dict[frozenset[str], tuple[str, ...]] = {}
    for name, variable in variables.items():
        what = geographic_kind(str(name), variable)
        dims = _horizontal_dims(obj, variable)
        if what is not None and len(dims) == 2 and name not in bounds:
            found[what].setdefault(frozenset(dims), []).append(str(name))
            order.setdefault(frozenset(dims), dims)
    out = {}
    for both in found["latitude"].keys() & found["longitude"].keys():
        y, x = order[both]
        if y.lower() in _X_DIMS or x.lower() in _Y_DIMS:
            y, x = x, y
        names = [found[what][both] for what in ("latitude", "longitude")]
        # of several on the same cells those that state what they are come first
        first = [min(n, key=lambda k: "standard_name" not in variables[k].attrs) for n in names]
        out[y, x] = (first[0], first[1])
    return out


def geographic_kind(name: str, variable: Any) -> str | None:
    """Return "latitude" or "longitude" for a variable that holds such with two dimensions."""
    if variable.ndim < 2 or not np.issubdtype(variable.dtype, np.number):
        return None
    stated = geographic_word(variable)
    if stated is not None or {"standard_name", "units"} & set(variable.attrs):
        return stated
    return next((word for word, names in _FOLDED_NAMES.items() if name.lower() in names), None)


def _horizontal_dims(obj: xr.DataArray | xr.Dataset, variable: Any) -> tuple[str, ...]:
    """Return the dimensions of a 2-D coordinate without time and without those of size 1."""
    dims = tuple(map(str, variable.dims))
    if len(dims) == 2:
        return dims
    return tuple(d for d in dims if d.lower() != "time" and obj.sizes[d] > 1)


def _missing(obj: xr.DataArray | xr.Dataset, what: str) -> AxisError:
    """Return the error that says why there is no axis, and what to do."""
    named = {
        str(name): coord
        for name, coord in obj.coords.items()
        if any(_stated(str(name), coord, kind) in ok for kind, ok in _CRITERIA[what].items())
    }
    lists = {c.dims[0]: str(n) for n, c in obj.coords.items() if c.ndim == 1 and c.dims != (n,)}
    for name, coord in named.items():
        if coord.ndim == 0:
            return AxisError(
                f"no {what} axis: {name!r} is a single value, so the fields have no rows and"
                " columns. Select a domain with at least 2 cells along each axis."
            )
        along = coord.dims[0]
        other = [n for n, c in obj.coords.items() if c.dims == coord.dims and n != name]
        kinds = {geographic_word(obj.coords[n]) for n in (name, *other)}
        if coord.ndim == 1 and {"latitude", "longitude"} <= kinds:
            return AxisError(
                f"no {what} axis: latitude and longitude both run along {along!r}, so the cells are"
                " a list (a reduced Gaussian grid, an unstructured mesh or stations) and no grid."
                " Regrid to a rectilinear grid first: 'cdo setgridtype,regular' for a reduced"
                " Gaussian grid, 'cdo remapcon' for a mesh."
            )
        if coord.ndim == 1 and along in lists:
            return AxisError(
                f"no {what} axis: {name!r} runs along the dimension {along!r}, which has no"
                f" coordinate of its own. Make it one: ds.swap_dims({along}={name!r})."
            )
        if coord.ndim > 1:
            return AxisError(
                f"no {what} axis: {name!r} is two-dimensional (a curvilinear grid), but there is no"
                f" two-dimensional {'longitude' if what == 'latitude' else 'latitude'} on the same"
                " cells. Add it with ds.assign_coords, with units degrees_east or degrees_north."
            )
    dims = ", ".join(map(str, obj.dims)) or "none"
    return AxisError(
        f"no {what} axis found (dimensions: {dims}). Give the coordinate the attribute"
        f" standard_name={what!r}, for example ds[{what[:3]!r}].attrs['standard_name'] = {what!r}."
    )


def geographic_word(coord: Any) -> str | None:
    """Return "latitude" or "longitude" by the attributes of a coordinate of any dimension."""
    for word, units in (("latitude", LATITUDE_UNITS), ("longitude", LONGITUDE_UNITS)):
        if coord.attrs.get("standard_name") == word or coord.attrs.get("units") in units:
            return word
    return None
