"""The grid of a dataset, by its coordinates, its grid mapping and 2-D latitude and longitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.cf.axes import folded_pairs
from xdeepr.checks import warn
from xdeepr.errors import AxisError, GridError
from xdeepr.grids.axis import GridAxis, axis_of, is_descending
from xdeepr.grids.centres import CellCentres, centres_of
from xdeepr.grids.grid import Grid
from xdeepr.grids.kinds import KINDS, Curvilinear, Projected
from xdeepr.grids.sphere import distance, unit_vectors

_AGREE, _APART, _APART_KM = 0.05, 1.0, 2.0
"""Cells up to which a grid mapping and 2-D coordinates agree; cells and km from which not."""


def grid_of(obj: xr.DataArray | xr.Dataset, axes: cf.Axes | None = None) -> Grid:
    """Return the grid of a field by its 1-D coordinates, or by 2-D latitude and longitude.

    Their order and longitude convention are free. Refused with AxisError where an axis is missing
    or it is not known what it measures, with GridError where it is not evenly spaced or the grid
    mapping contradicts 2-D coordinates.
    """
    axes = cf.find_axes(obj) if axes is None else axes
    mapping = _mapping(obj, axes)
    kind = _kind(obj, axes, mapping)
    if not kind.rectilinear:
        return _curvilinear(obj, axes)
    y = axis_of(obj[axes.y], "y", kind.attrs[0])
    x = axis_of(obj[axes.x], "x", kind.attrs[1], kind.circle)
    grid = kind(y, x, mapping)
    centres = None if kind.geographic else centres_of(obj, axes, needed=False)
    if centres is None:
        return grid
    flips = (slice(None, None, -1 if a.descending else 1) for a in grid.axes)
    centres = centres.cut(*flips)
    return grid if _agree(grid, centres) else kind(y, x, mapping, centres)


def gridded(obj: xr.Dataset | xr.DataArray, *, name: str = "field") -> cf.Gridded[Grid]:
    """Return what a user gives to a verb with its axes and grid; a nameless field gets `name`."""
    ds = cf.as_dataset(obj, name)
    axes = cf.find_axes(ds)
    # that a grid mapping was lost is said of datasets: a DataArray holds none by itself
    cells = ds if isinstance(obj, xr.Dataset) else obj
    return cf.Gridded(ds, axes, grid_of(cells, axes), obj)


def _curvilinear(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> Grid:
    """Return a grid whose cells are known by 2-D latitude and longitude alone."""
    centres = centres_of(obj, axes, needed=True)
    assert centres is not None  # the axes were found by them
    y, x = (
        GridAxis(dim, (_first(obj, dim) + 0.5 + np.arange(n)) * max(size, 1e-9), attrs=attrs)
        for dim, n, size, attrs in zip(
            (axes.y, axes.x), centres.shape, centres.sizes, Curvilinear.attrs, strict=True
        )
    )
    return Curvilinear(y, x, None, centres)


def _first(obj: xr.DataArray | xr.Dataset, dim: str) -> int:
    """Return the number of the first cell along a dimension, by its coordinate if it counts."""
    if dim not in obj.coords or not np.issubdtype(obj[dim].dtype, np.number):
        return 0
    values = np.asarray(obj[dim].values, dtype=np.float64)
    counts = (np.diff(values) == 1).all() and values[0] == round(values[0])
    return int(values[0]) if counts else 0


def _agree(grid: Grid, centres: CellCentres) -> bool:
    """Whether a grid mapping puts the cells where the 2-D latitude and longitude say.

    A sample of the cells is compared.
    """
    every = max(1, max(grid.shape) // 10)
    found = grid.mapped(every)
    if found is None or grid.mapping is None:
        return False
    off = float(distance(unit_vectors(*found), centres.vectors[::every, ::every]).max())
    cells = off / centres.size
    if cells <= _AGREE:
        return True
    mapping, names = grid.mapping[0], f"{centres.names[0]!r} and {centres.names[1]!r}"
    if not np.isfinite(off) or (cells > _APART and off > _APART_KM):
        raise GridError(
            f"the grid mapping {mapping!r} puts cells {off:.0f} km from where {names} say they"
            f" are: one of the two is wrong. Correct ds[{mapping!r}].attrs, or leave out the"
            f" wrong ones: ds.drop_vars({mapping!r}) or ds.drop_vars({list(centres.names)})."
        )
    warn(
        f"the grid mapping {mapping!r} puts cells up to {1000 * off:.0f} m from where {names}"
        " say they are, which are taken: check its attributes, above all the shape of the earth"
        " (semi_major_axis, inverse_flattening)."
    )
    return False


def _kind(
    obj: xr.DataArray | xr.Dataset, axes: cf.Axes, mapping: tuple[str, dict[str, Any]] | None
) -> type[Grid]:
    """Return the kind of a grid by its coordinates, or else by its having a grid mapping."""
    kind = _stated_kind(obj, axes)
    if kind is None and mapping is not None:
        return Projected
    if kind is None:
        y, x = axes.y, axes.x
        raise AxisError(
            f"it is not known what {y!r} and {x!r} measure: they have neither a standard_name nor"
            f" units. For degrees, ds.rename({{{y!r}: 'lat', {x!r}: 'lon'}}); for a projection, set"
            f" ds[{y!r}].attrs.update(standard_name='projection_y_coordinate', units='m') and"
            f" {x!r} likewise."
        )
    return kind


def _stated_kind(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> type[Grid] | None:
    """Return the kind of a grid as its coordinates state it."""
    if axes.y not in obj.coords or axes.x not in obj.coords:
        return Curvilinear
    y, x = obj[axes.y], obj[axes.x]
    for kind in KINDS.values():
        if kind.stated_by(y, x):
            return kind
    for kind in KINDS.values():
        if kind.hinted_by(y, x):
            return kind
    return Curvilinear if folded_pairs(obj) else None


def _mapping(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> tuple[str, dict[str, Any]] | None:
    """Return name and attributes of the grid mapping variable."""
    fields = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    fields = [da for da in fields if {axes.y, axes.x} <= set(da.dims)]
    for da in fields:
        name = da.attrs.get("grid_mapping", da.encoding.get("grid_mapping"))
        if isinstance(name, str):
            name = _of_axes(name, axes)
            if name in obj.coords or (isinstance(obj, xr.Dataset) and name in obj.variables):
                return name, dict(obj[name].attrs)
            _warn_of_lost_mapping(obj, axes, str(da.name), name)
    if fields:
        return None
    # a file of coordinates has no field that could name the mapping
    variables = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    found = [str(n) for n, v in variables.items() if "grid_mapping_name" in v.attrs]
    return (found[0], dict(obj[found[0]].attrs)) if len(found) == 1 else None


def _of_axes(text: str, axes: cf.Axes) -> str:
    """Return the grid mapping of the axes: "crs", or extended "other: lat lon crs: x y" (CF 5.6).

    cf_xarray reads the second form from attributes alone, where decode_coords="all" does not leave
    it, and fails where pyproj does not know one of the mappings.
    """
    coordinates: dict[str, set[str]] = {}
    name = text.strip()
    for word in text.replace(":", ": ").split():
        if word.endswith(":"):
            name = word[:-1]
        coordinates.setdefault(name, set()).add(word)
    own = [name for name, words in coordinates.items() if {axes.y, axes.x} <= words]
    return next(iter(own or coordinates), name)


def _warn_of_lost_mapping(
    obj: xr.DataArray | xr.Dataset, axes: cf.Axes, field: str, name: str
) -> None:
    """Say that nothing tells where the cells of a projected or rotated grid lie."""
    if isinstance(obj, xr.DataArray):
        return  # holds no such variable unless someone made it a coordinate
    kind = _stated_kind(obj, axes)
    needed = kind is not None and kind.rectilinear and not kind.geographic
    if needed and not folded_pairs(obj):
        warn(
            f"{field!r} names the grid mapping {name!r}, which is not in the data (selecting"
            " variables leaves it out), so latitude and longitude are not known: open files with"
            f" decode_coords='all', or add it with ds.assign_coords({name}=...)."
        )


def ascending(da: xr.DataArray, axes: cf.Axes) -> xr.DataArray:
    """Return a field with dimensions (..., y, x), y and x ascending; lazy."""
    da = da.transpose(..., axes.y, axes.x)
    kind = _stated_kind(da, axes)
    if kind is not None and not kind.rectilinear:
        return da
    circles = {axes.y: None, axes.x: None if kind is None else kind.circle}
    dims = [d for d, circle in circles.items() if is_descending(da[d], circle)]
    return da.isel({d: slice(None, None, -1) for d in dims})


def as_user_order(da: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Return an ascending field in the order the user's data have; lazy."""
    flips = {a.name: slice(None, None, -1) for a in grid.axes if a.descending}
    return da.isel(flips)
