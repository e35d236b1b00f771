"""From an array of numbers to a CF-compliant dataset on the HR grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.cf.times import is_reference_time
from xdeepr.grids import Grid, as_user_order
from xdeepr.inputs.quantities import Quantity

CONVENTIONS = "CF-1.11"

_BOUNDS = ("bounds", "climatology")
"""Attributes that name the bounds of a coordinate."""

REALIZATION_ATTRS = {
    "standard_name": "realization",
    "long_name": "ensemble member",
    "units": "1",
}


def cf_dataset(
    values: da.Array,
    source: cf.Gridded[Grid],
    *,
    grid: Grid,
    predictands: Sequence[Quantity],
    with_realization: bool,
    provenance: Mapping[str, Any],
) -> xr.Dataset:
    """Dress (realization, time, predictand, y, x), ascending, in coordinates and attributes.

    Time coordinates, orientation and history are those of the LR data `source`; `provenance` holds
    global attributes, among them ``history``, one line without date.
    """
    axes, attrs = source.axes, source.dataset.attrs
    time = [axes.time] if axes.time is not None else []
    coords = _time_coordinates(source.dataset, axes)
    if with_realization:
        index = np.arange(values.shape[0], dtype=np.int32)
        coords["realization"] = xr.Variable("realization", index, REALIZATION_ATTRS)
    fields = {}
    for number, quantity in enumerate(predictands):
        data = values[:, :, number]
        dims = ["realization", *time, grid.y.name, grid.x.name]
        if not time:
            data = data[:, 0]
        if not with_realization:
            data, dims = data[0], dims[1:]
        field = xr.DataArray(data, dims=dims, attrs=_field_attrs(source.dataset, quantity, grid))
        fields[quantity.name] = as_user_order(field, grid)
    ds = xr.Dataset(fields, coords)
    ds = ds.assign_coords(grid.coordinates())
    bounds = [v.attrs[k] for v in ds.variables.values() for k in _BOUNDS if k in v.attrs]
    mapping = [grid.mapping[0]] if grid.mapping else []
    ds = ds.reset_coords([n for n in [*bounds, *mapping] if n in ds.coords])
    title = f"{', '.join(q.name for q in predictands)} downscaled with xdeepr"
    ds.attrs = {"title": title, **attrs, "Conventions": CONVENTIONS, **provenance}
    ds.attrs["history"] = cf.append_history(attrs, provenance["history"])["history"]
    return ds


def _time_coordinates(source: xr.Dataset, axes: cf.Axes) -> dict[str, xr.Variable]:
    """Return the coordinates that do not depend on the horizontal grid, and time bounds."""
    horizontal = {axes.y, axes.x}
    kept = {
        str(name): coord.variable.copy(deep=False)  # the user's attributes stay as they are
        for name, coord in source.coords.items()
        if not horizontal & set(coord.dims) and set(coord.dims) <= {axes.time}
    }
    if axes.time is not None and axes.time in kept:
        time = kept[axes.time]
        is_start = is_reference_time(source[axes.time], axes.time)
        named = {} if is_start else {"standard_name": "time"}  # a start stays one
        time.attrs = {**time.attrs, **named, "axis": "T"}
        if time.encoding.get("calendar") == "gregorian":
            time.encoding["calendar"] = "standard"  # the same; CF 1.9 wants the new word
        for key in _BOUNDS:
            bounds = time.attrs.get(key, time.encoding.get(key))
            if bounds in source.variables:
                kept[bounds] = source.variables[bounds].copy(deep=False)
            elif bounds is not None:
                time.attrs.pop(key, None)
    mapping_names = {
        v.attrs.get("grid_mapping", v.encoding.get("grid_mapping"))
        for v in source.variables.values()
    }
    for variable in kept.values():
        variable.encoding["_FillValue"] = None  # CF: coordinates have no missing values
    return {name: v for name, v in kept.items() if name not in mapping_names}


def _field_attrs(source: xr.Dataset, quantity: Quantity, grid: Grid) -> dict[str, Any]:
    """Return the attributes of an output variable."""
    own = source[quantity.name].attrs if quantity.name in source else {}
    attrs = cf.lasting_attrs(own)
    attrs |= {**quantity.attrs, "units": quantity.units}
    if grid.mapping is not None:
        attrs["grid_mapping"] = grid.mapping[0]
    return attrs
